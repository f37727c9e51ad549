"""Write the WWW-Authenticate value that goes with a refusal.

Takes   a Reason, what the route wants, and this API's realm and metadata address
Gives   the header's value: fixed texts only, nothing of the token or the request is ever reflected
Raises  ValueError for a realm, address or scope that cannot stand in a quoted string
Not     whether an answer carries one: `Reason.carries_challenge`
Source  RFC 6750 §3; RFC 9110 §11.6.1; RFC 9470 §3; RFC 9728 §5.1; docs/contracts/tokens.md T26
"""

from collections.abc import Collection

from app.oauth.reasons import Reason


def bare(realm: str, resource_metadata: str) -> str:
    """Challenge a caller without credentials: RFC 6750 §3.1 says SHOULD NOT include an error code."""
    return _challenge({"realm": realm, "resource_metadata": resource_metadata})


def refused(  # noqa: PLR0913 - one argument for each parameter of the challenge
    reason: Reason,
    realm: str,
    resource_metadata: str,
    *,
    scope: Collection[str] | None = None,
    max_age_seconds: int | None = None,
    acr_values: Collection[str] | None = None,
) -> str:
    """Challenge a caller whose credentials were refused; bare if the reason has no RFC 6750 error."""
    if reason.error is None:
        return bare(realm, resource_metadata)
    parameters = {
        "realm": realm,
        "error": reason.error,
        "error_description": reason.detail,
        "resource_metadata": resource_metadata,
    }
    if scope:
        parameters["scope"] = " ".join(scope)
    if max_age_seconds is not None:
        parameters["max_age"] = str(max_age_seconds)
    if acr_values:
        parameters["acr_values"] = " ".join(acr_values)
    return _challenge(parameters)


def _challenge(parameters: dict[str, str]) -> str:
    return "Bearer " + ", ".join(f'{name}="{_quoted(value)}"' for name, value in parameters.items())


def _quoted(value: str) -> str:
    if not (value.isascii() and value.isprintable()):
        raise ValueError("a challenge holds printable ASCII only")
    return value.replace("\\", "\\\\").replace('"', '\\"')
