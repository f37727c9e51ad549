"""Say why claims were refused: with what the token says, what was expected, and what to do.

Takes   claims, the policy, now: seconds since the epoch (UTC)
Gives   (what is wrong;  what to do about it)
Raises  nothing, whatever the claims hold
Not     whether they were refused: checks.py asks the API's own code, and only then the words here
Source  RFC 7519 §4.1; RFC 9068 §2.2; OpenID Connect Core §2; docs/contracts/tokens.md T14 to T19
"""

from collections.abc import Mapping
from typing import Any

from app.commands.diagnosis.header_words import Words
from app.commands.diagnosis.words import kind_of_value, listed, nearest, quoted
from app.commands.screen import distance, duration, moment
from app.oauth.claims import MAX_NAME_LENGTH, TokenPolicy

Claims = Mapping[str, Any]

# Seconds of the years 2001 to 2286, as milliseconds.
_MILLISECONDS = range(10**12, 10**13)
_LAST_SECOND = 253_402_300_799
_AT_TENANT = "look at the tenant's actions, rules or mappers that add or change claims"


def of_issuer(claims: Claims, policy: TokenPolicy) -> Words:
    """Explain an `iss` that is not one of the configured issuers."""
    ours = listed(policy.issuers)
    if "iss" not in claims:
        return f"iss is missing, TENANT_ISSUER is {ours}", "a tenant's access token has iss: where is this token from?"
    said = claims["iss"]
    if type(said) is not str:
        return f"iss is {kind_of_value(said)}, and must be a string", _AT_TENANT
    near = nearest(said, policy.issuers)
    if near is not None:
        name, by_what = near
        return (
            f"issuer differs only {by_what}: the token says {quoted(said)}, TENANT_ISSUER is {quoted(name)}",
            f"set TENANT_ISSUER={said} if that is your tenant, exactly as its tokens say it",
        )
    return (
        f"another issuer: the token says {quoted(said)}, TENANT_ISSUER is {ours}",
        "log in at the tenant of this API, or list both in TENANT_ISSUER if they are two names of one tenant",
    )


def of_purpose(claims: Claims, policy: TokenPolicy, typ: str | None) -> Words:  # noqa: PLR0911 - one for each mark
    """Name the mark of an ID token, a refresh token or a logout token."""
    send = "send the access token: access_token of the same token response"
    for name in ("token_use", "token_type", "typ"):
        if name in claims:
            word = claims[name]
            if type(word) is str and word.lower() in {"id", "id_token"}:
                return f"this is an ID token ({name} is {quoted(word)})", send
            if type(word) is not str or word.lower() in {"refresh", "offline", "logout"}:
                return f"this is no access token: {name} is {quoted(word)}", send
    if "events" in claims:
        return "this is a logout token or a security event (it has events)", send
    marks = [name for name in ("nonce", "at_hash", "c_hash") if name in claims]
    if typ == "at+jwt" and "nonce" in marks:
        marks.remove("nonce")
    if marks:
        return f"this is an ID token (it has {', '.join(marks)})", send
    azp = claims.get("azp")
    if azp is not None and claims.get("aud") in (azp, [azp]):
        return (
            f"this is an ID token: aud is the client id {quoted(azp)}",
            f"{send}, and request audience={_ask(policy)}",
        )
    if "sid" in claims and policy.scope_claim not in claims:
        return f"this is an ID token (it has sid, and no {policy.scope_claim})", send
    return "this token calls itself something else than an access token", send


def of_audience(claims: Claims, policy: TokenPolicy) -> Words:
    """Explain an `aud` that does not name this API."""
    ours = listed(sorted(policy.audiences))
    ask = f"request audience={_ask(policy)} when logging in"
    if "aud" not in claims:
        return f"aud is missing, API_AUDIENCE is {ours}", ask
    said = claims["aud"]
    names = [said] if type(said) is str else said
    if type(names) is not list or not all(type(name) is str for name in names):
        return f"aud is {kind_of_value(said)}, and must be a string or an array of strings", _AT_TENANT
    for name in names:
        near = nearest(name, sorted(policy.audiences))
        if near is not None:
            return (
                f"audience differs only {near[1]}: the token says {quoted(name)}, API_AUDIENCE is {quoted(near[0])}",
                f"set API_AUDIENCE={name} if that is the API identifier at the tenant",
            )
    if names and all(name.endswith("/userinfo") for name in names):
        return f"aud is the tenant's own userinfo ({quoted(said)}): the app asked for no API", ask
    if claims.get("client_id") in names:
        return f"aud is the client id ({quoted(said)}), API_AUDIENCE is {ours}", ask
    return f"the token is for {quoted(said)}, API_AUDIENCE is {ours}", ask


def of_time(name: str, claims: Claims, policy: TokenPolicy, now: float) -> Words:
    """Explain an `exp`, `nbf` or `iat` (or another time) that was refused."""
    if name not in claims:
        return f"{name} is missing: the token would be good for ever", _AT_TENANT
    said = claims[name]
    if type(said) not in (int, float):
        return (
            f"{name} is {kind_of_value(said)} ({quoted(said)}), and must be a number of seconds since 1970",
            _AT_TENANT,
        )
    if type(said) is int and said in _MILLISECONDS:
        return (
            f"{name} is in milliseconds: {said} instead of {said // 1000} ({moment(said // 1000)})",
            "whoever writes this claim must divide by 1000",
        )
    if not is_in_calendar(said):
        return f"{name} is {quoted(said)}, which no calendar has", _AT_TENANT
    if name == "exp" and said <= now:
        return (
            f"expired {duration(now - said)} ago ({moment(said)}; the tolerance is {policy.clock_skew_seconds} s)",
            "get a new access token with the refresh token; if a fresh one is refused too, one clock is wrong",
        )
    word = "is not valid before" if name == "nbf" else "was issued"
    return (
        f"the token {word} {moment(said)}, {distance(said, now)} by this machine's clock",
        "compare this machine's clock with the tenant's: flask --app wsgi doctor does",
    )


def of_name(name: str, claims: Claims) -> Words:
    """Explain a name of something that is missing, of another type or too long."""
    if name not in claims:
        return f"{name} is missing", f"{_AT_TENANT}; the tenant always sends {name}"
    said = claims[name]
    if type(said) is not str:
        return f"{name} is {kind_of_value(said)} ({quoted(said)}), and must be a string", _AT_TENANT
    if not said:
        return f"{name} is empty", _AT_TENANT
    if len(said) > MAX_NAME_LENGTH:
        return f"{name} has {len(said)} characters, at most {MAX_NAME_LENGTH} are taken", _AT_TENANT
    return f"{name} holds a control character: {quoted(said)}", _AT_TENANT


def of_scopes(claims: Claims, policy: TokenPolicy) -> Words:
    """Explain a scope claim of another type."""
    said = claims.get(policy.scope_claim)
    other = "scp" if policy.scope_claim == "scope" else "scope"
    wanted = "a string with spaces between the words" + ("" if other == "scp" else ", or an array of strings")
    return f"{policy.scope_claim} is {kind_of_value(said)} ({quoted(said)}), and must be {wanted}", _AT_TENANT


def of_strings(name: str, claims: Claims) -> Words:
    """Explain what is no array of strings."""
    return f"{name} is {quoted(claims.get(name))}, and must be an array of strings", _AT_TENANT


def of_client(claims: Claims) -> Words:
    """Explain two names of the app that differ."""
    client_id, azp = claims.get("client_id"), claims.get("azp")
    for name in ("client_id", "azp"):
        if name in claims and (type(claims[name]) is not str or not 0 < len(claims[name]) <= MAX_NAME_LENGTH):
            return of_name(name, claims)
    if client_id == azp or client_id is None or azp is None:
        return of_name("azp" if client_id is None else "client_id", claims)
    return f"client_id is {quoted(client_id)} and azp is {quoted(azp)}: two apps in one token", _AT_TENANT


def of_profile(claims: Claims) -> Words:
    """Name what RFC 9068 demands and the token lacks."""
    missing = ", ".join(name for name in ("client_id", "iat", "jti") if name not in claims)
    return (
        f"TOKEN_PROFILE=rfc9068 demands {missing}",
        "choose the RFC 9068 token profile for this API at the tenant, or set TOKEN_PROFILE=any",
    )


def of_confirmation(claims: Claims) -> Words:
    """Explain a binding that this API cannot check."""
    cnf = claims.get("cnf")
    return (
        f"bound to a key in a way that this API cannot check: cnf is {quoted(cnf)}",
        "at the tenant, bind the tokens of this app by DPoP (cnf.jkt) or not at all",
    )


def lifetime_warning(claims: Claims, limit_seconds: int) -> str | None:
    """Return a sentence if the token lives longer than a revocation would."""
    begins: Any = claims.get("iat")
    ends: Any = claims.get("exp")
    if not is_in_calendar(begins) or not is_in_calendar(ends) or ends - begins <= limit_seconds:
        return None
    return (
        f"the token lives for {duration(ends - begins)}, TOKEN_MAX_LIFETIME_SECONDS is {limit_seconds}: "
        "a revocation could end before the token does"
    )


def is_in_calendar(value: Any) -> bool:
    """Tell whether a value is a time that can be reckoned with."""
    return type(value) in (int, float) and abs(value) <= _LAST_SECOND


def when(seconds: float, now: float) -> str:
    """Say a time and how far away it is."""
    return f"{moment(seconds)}, {distance(seconds, now)}"


def _ask(policy: TokenPolicy) -> str:
    return " or ".join(sorted(policy.audiences))
