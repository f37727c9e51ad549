"""Write the WWW-Authenticate value that goes with a refusal.

Takes   a Reason, what the route wants, and the Offer: this API's realm, metadata address and schemes
Gives   the header's value: fixed texts only, nothing of the token or the request is ever reflected
Raises  ValueError for a realm, address or scope that cannot stand in a quoted string
Not     whether an answer carries one: `Reason.carries_challenge`
Source  RFC 6750 §3; RFC 9110 §11.6.1; RFC 9449 §7.1; RFC 9470 §3; RFC 9728 §5.1; docs/contracts/tokens.md T26

Several challenges stand in one field. Many clients look for the first `error=` of the field and know of no second
challenge: so the used scheme comes first, and it alone has an `error`.
"""

from collections.abc import Collection
from dataclasses import dataclass

from app.oauth.bearer import Scheme
from app.oauth.reasons import Reason


@dataclass(frozen=True, slots=True)
class Offer:
    """By which schemes this API takes tokens, the usual one first, and what every challenge of it says."""

    realm: str
    resource_metadata: str
    schemes: tuple[Scheme, ...] = ("Bearer",)
    proof_algorithms: tuple[str, ...] = ()
    """What the challenge of the DPoP scheme names as `algs` (RFC 9449 §7.1)."""


def bare(offer: Offer) -> str:
    """Challenge a caller without credentials: RFC 6750 §3.1 says SHOULD NOT include an error code."""
    return ", ".join(_challenge(scheme, offer, {}) for scheme in offer.schemes)


def refused(  # noqa: PLR0913 - one argument for each parameter of the challenge
    reason: Reason,
    offer: Offer,
    *,
    used: Scheme | None = "Bearer",
    description: str | None = None,
    scope: Collection[str] | None = None,
    max_age_seconds: int | None = None,
    acr_values: Collection[str] | None = None,
) -> str:
    """Challenge a caller whose credentials were refused; bare if the reason has no RFC 6750 error.

    Args:
        reason: why.
        offer: what this API takes.
        used: the scheme of the request; where it is not offered, the first one that is says what is wrong.
        description: what to say instead of the reason's own sentence.
        scope: what the route wants.
        max_age_seconds: how recent a login it wants.
        acr_values: of which class.
    """
    if reason.error is None:
        return bare(offer)
    parameters = {"error": reason.error, "error_description": description or reason.detail}
    if scope:
        parameters["scope"] = " ".join(scope)
    if max_age_seconds is not None:
        parameters["max_age"] = str(max_age_seconds)
    if acr_values:
        parameters["acr_values"] = " ".join(acr_values)
    first = used if used in offer.schemes else offer.schemes[0]
    others = (scheme for scheme in offer.schemes if scheme != first)
    return ", ".join([_challenge(first, offer, parameters), *(_challenge(scheme, offer, {}) for scheme in others)])


def _challenge(scheme: Scheme, offer: Offer, parameters: dict[str, str]) -> str:
    said = {"realm": offer.realm, **parameters, "resource_metadata": offer.resource_metadata}
    if scheme == "DPoP":
        said["algs"] = " ".join(offer.proof_algorithms)
    return f"{scheme} " + ", ".join(f'{name}="{_quoted(value)}"' for name, value in said.items())


def _quoted(value: str) -> str:
    if not (value.isascii() and value.isprintable()):
        raise ValueError("a challenge holds printable ASCII only")
    return value.replace("\\", "\\\\").replace('"', '\\"')
