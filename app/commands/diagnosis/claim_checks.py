"""The checks of the claims, of revocation and of possession.

Takes   Asking, the Situation, the claims as they could be read
Gives   the principal as far as the claims tell it, for a route's demands
Raises  nothing
Not     the words (claims_words.py), the signature (key_checks.py)
Source  docs/contracts/tokens.md T14 to T19, T23, T24
"""

from collections.abc import Callable
from hashlib import sha256
from typing import Any

from app.commands.diagnosis import claims_words
from app.commands.diagnosis.asking import Asking
from app.commands.diagnosis.header_words import Words
from app.commands.diagnosis.situation import Situation
from app.commands.diagnosis.words import quoted
from app.commands.screen import moment
from app.oauth import claims as rules
from app.oauth.access_token import AccessToken
from app.oauth.bearer import Scheme
from app.oauth.claims import TokenPolicy
from app.oauth.errors import InvalidToken, Refused
from app.oauth.header import Header
from app.oauth.reasons import Reason

Claims = dict[str, Any]

_NAMES = (
    "purpose",
    "aud",
    "exp",
    "nbf",
    "iat",
    "sub",
    "scope",
    "permissions",
    "client",
    "others",
    "cnf",
    "revoked",
    "proof",
)
_SOON_SECONDS = 60


def ask(  # noqa: PLR0913 - what was read so far
    asking: Asking,
    situation: Situation,
    claims: Claims | None,
    header: Header | None,
    *,
    typ: str | None,
    scheme: Scheme,
    now: float,
) -> AccessToken | None:
    """Ask every check of the claims; None if there are none to ask about."""
    if claims is None:
        for name in _NAMES:
            asking.skip(name, "the claims cannot be read")
        return None
    policy = situation.policy
    asking.ask(
        "purpose",
        lambda: rules.refuse_other_tokens(claims, policy, typ),
        lambda _none: "no mark of an ID, refresh or logout token",
        lambda: claims_words.of_purpose(claims, policy, typ),
    )
    audience = asking.ask(
        "aud",
        lambda: rules.audience_of(claims, policy),
        lambda found: quoted(found[0] if len(found) == 1 else list(found)),
        lambda: claims_words.of_audience(claims, policy),
    )
    _times(asking, claims, policy, now)
    subject = _name(asking, claims, "sub")
    scopes, permissions = _grants(asking, claims, policy)
    client_id = asking.ask(
        "client",
        lambda: rules.client_id_of(claims),
        lambda found: quoted(found) if found is not None else "not named",
        lambda: claims_words.of_client(claims),
    )
    _others(asking, claims, policy)
    bound_to = _confirmation(asking, claims)
    principal = AccessToken(
        issuer=str(claims.get("iss")),
        subject=subject or "",
        client_id=client_id,
        kind=rules.kind_of(claims, subject or "", client_id),
        scopes=scopes,
        permissions=permissions,
        audience=audience or (),
        expires_at=_or_none(lambda: rules.number_of(claims, "exp")) or 0,
        issued_at=_whole(_or_none(lambda: rules.number_of(claims, "iat"))),
        auth_time=rules.told(rules.number_of, claims, rules.name_of(claims, policy.auth_time_claim, "auth_time")),
        acr=rules.told(rules.text_of, claims, rules.name_of(claims, policy.acr_claim, "acr")),
        bound_to=bound_to,
        token_id=_token_id(claims, header),
    )
    _revocation(asking, situation, principal)
    _possession(asking, situation, principal, scheme, bound="cnf" in claims)
    _warnings(asking, situation, claims, now)
    return principal


def _times(asking: Asking, claims: Claims, policy: TokenPolicy, now: float) -> None:
    """Ask for each time by itself, the others good."""
    good = {"exp": now + 1}
    given = {name: claims[name] for name in ("exp", "nbf", "iat") if name in claims}
    for name in ("exp", "nbf", "iat"):
        alone = {name: given[name]} if name in given else {}
        asked = alone if name == "exp" else good | alone
        asking.ask(
            name,
            lambda asked=asked: rules.times_of(asked, policy, now),  # type: ignore[misc]  # a lambda's default has no type
            lambda _times, name=name: _time_in_words(name, claims, now),  # type: ignore[misc]
            lambda name=name: claims_words.of_time(name, claims, policy, now),  # type: ignore[misc]
        )


def _time_in_words(name: str, claims: Claims, now: float) -> str:
    if name not in claims:
        return "not given"
    text = claims_words.when(claims[name], now)
    return f"{text}, inside the tolerance" if name == "exp" and claims[name] <= now else text


def _name(asking: Asking, claims: Claims, name: str) -> str | None:
    return asking.ask(
        name, lambda: rules.required_text(claims, name), quoted, lambda: claims_words.of_name(name, claims)
    )


def _grants(asking: Asking, claims: Claims, policy: TokenPolicy) -> tuple[frozenset[str], frozenset[str]]:
    scopes = asking.ask(
        "scope",
        lambda: rules.scopes_of(claims, policy),
        lambda found: " ".join(sorted(found)) or f"none (the token has no {policy.scope_claim})",
        lambda: claims_words.of_scopes(claims, policy),
    )
    permissions = asking.ask(
        "permissions",
        lambda: frozenset(rules.strings_of(claims.get("permissions", []))),
        lambda found: " ".join(sorted(found)) or "none",
        lambda: claims_words.of_strings("permissions", claims),
    )
    return scopes or frozenset(), permissions or frozenset()


def _others(asking: Asking, claims: Claims, policy: TokenPolicy) -> None:
    """Ask, in the order of claims.check, for what a token may hold beside."""
    steps: list[tuple[str, Callable[[], object], Callable[[], Words]]] = [
        ("jti", lambda: rules.text_of(claims, "jti"), lambda: claims_words.of_name("jti", claims))
    ]
    if policy.profile == "rfc9068":
        steps.append(("profile", lambda: rules.require_profile(claims), lambda: claims_words.of_profile(claims)))
    steps.append(("org_id", lambda: rules.text_of(claims, "org_id"), lambda: claims_words.of_name("org_id", claims)))
    well_formed = _of_login(asking, claims, policy)
    refused = False
    for _name, question, words in steps:
        try:
            question()
        except InvalidToken as fault:
            asking.fail("others", fault.reason, words())
            refused = True
    if not refused:
        there = [*(name for name, _, _ in steps if name in claims), *well_formed]
        asking.good("others", f"well formed: {', '.join(there)}" if there else "no other claim that counts here")


def _of_login(asking: Asking, claims: Claims, policy: TokenPolicy) -> list[str]:
    """Warn of what tells of the login and cannot be understood; return the names of what can (T23)."""
    auth_time = rules.name_of(claims, policy.auth_time_claim, "auth_time")
    acr = rules.name_of(claims, policy.acr_claim, "acr")
    told: list[tuple[str, object, Callable[[], Words]]] = [
        (
            auth_time,
            rules.told(rules.number_of, claims, auth_time),
            lambda: claims_words.of_time(auth_time, claims, policy, 0),
        ),
        (acr, rules.told(rules.text_of, claims, acr), lambda: claims_words.of_name(acr, claims)),
        ("amr", rules.told(rules.texts_of, claims, "amr"), lambda: claims_words.of_strings("amr", claims)),
    ]
    there = [one for one in told if one[0] in claims]
    for _name, value, words in there:
        if value is None:
            what, advice = words()
            asking.warn("ignored", f"{what}; it counts as absent, and a route that asks for it refuses", advice)
    return [name for name, value, _ in there if value is not None]


def _confirmation(asking: Asking, claims: Claims) -> str | None:
    if "cnf" not in claims:
        asking.good("cnf", "not bound to a key")
        return None
    return asking.ask(
        "cnf",
        lambda: rules.thumbprint_of(claims["cnf"]),
        lambda jkt: f"bound to the key {jkt}",
        lambda: claims_words.of_confirmation(claims),
    )


def _revocation(asking: Asking, situation: Situation, token: AccessToken) -> None:
    denylist = situation.denylist
    if situation.why_no_denylist is not None:
        asking.skip("revoked", f"the revocations cannot be read: {situation.why_no_denylist}")
        return

    def current() -> None:
        reason = denylist.revokes(token)
        if reason is not None:
            raise Refused(reason)

    asking.ask("revoked", current, lambda _none: "no", lambda: _revoked_by(situation, token))


def _revoked_by(situation: Situation, token: AccessToken) -> Words:
    denylist = situation.denylist
    if denylist.revokes(token) is Reason.CLIENT_REVOKED:
        what = f"the app {quoted(token.client_id)} is revoked"
        return what, "no login helps; the operator lifts it: flask --app wsgi revoke lift client CLIENT_ID"
    if token.token_id in denylist.tokens:
        what = f"this token is revoked ({token.token_id})"
    else:
        until = moment(denylist.users[token.subject])
        what = f"the tokens of the user {quoted(token.subject)} that were issued until {until} are revoked"
    return what, "let the user log in again; the operator's list: flask --app wsgi revoke --help"


def _possession(asking: Asking, situation: Situation, token: AccessToken, scheme: Scheme, *, bound: bool) -> None:
    """T19, P4: a bound token never passes as a plain one, nor a plain one by the DPoP scheme."""
    if bound and token.bound_to is None:
        asking.skip("proof", "see cnf")
    elif token.bound_to is not None and scheme == "DPoP":
        asking.skip("proof", "the proof is made for each request: it is not part of the token, and not judged here")
    elif token.bound_to is not None:
        words = (
            (
                "the token is bound to a key, and was sent as Bearer",
                "send it by the DPoP scheme, with a proof made for each request by the key that it is bound to",
            )
            if situation.proofs_taken
            else (
                "the token is bound to a key, and DPOP_MODE is off: no proof is taken",
                "set DPOP_MODE=allowed, or let the tenant issue this app unbound tokens",
            )
        )
        asking.fail("proof", Reason.PROOF_REQUIRED, words)
    elif scheme == "DPoP":
        words = ("sent by the DPoP scheme, but not bound to a key", "send it as Bearer, or let the tenant bind it")
        asking.fail("proof", Reason.TOKEN_NOT_BOUND, words)
    elif situation.proof_required:
        words = (
            "DPOP_MODE=required takes bound tokens only, and this one is not bound",
            "let the tenant bind the tokens of this app (DPoP), or set DPOP_MODE=allowed",
        )
        asking.fail("proof", Reason.PROOF_REQUIRED, words)
    else:
        asking.good("proof", "none is needed")


def _warnings(asking: Asking, situation: Situation, claims: Claims, now: float) -> None:
    sentence = claims_words.lifetime_warning(claims, situation.max_lifetime_seconds)
    if sentence is not None:
        asking.warn("lifetime", sentence, "raise TOKEN_MAX_LIFETIME_SECONDS, or shorten the tokens at the tenant")
    expires_at = _or_none(lambda: rules.number_of(claims, "exp"))
    if expires_at is not None and -situation.policy.clock_skew_seconds < expires_at - now <= _SOON_SECONDS:
        asking.warn("lifetime", f"about to expire: {claims_words.when(expires_at, now)}", "renew it before it is used")


def _token_id(claims: Claims, header: Header | None) -> str:
    jti = _or_none(lambda: rules.text_of(claims, "jti"))
    return jti or f"sha256:{sha256(b'' if header is None else header.signing_input).hexdigest()}"


def _or_none(question: Callable[[], Any]) -> Any:
    try:
        return question()
    except InvalidToken:
        return None


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
