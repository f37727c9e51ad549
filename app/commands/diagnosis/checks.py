"""Ask every check of the API about one token, in the API's order, and go on after the first that fails.

Takes   the value of an Authorization field, the Situation, now: seconds since the epoch (UTC)
Gives   Examination: a Finding for each check, and what could be read of the token
Raises  nothing, whatever the token is
Not     the verdict (verdict.py), a route's demands (demands.py)
Source  docs/contracts/tokens.md §2: T6 to T19, T24

Whether a check passes is never decided here: each is asked of the code that the API runs, with everything else about
the token replaced by something good, so that one fault does not hide the next.
"""

from dataclasses import dataclass, replace
from typing import Any

from app.commands.diagnosis import claim_checks, header_words, key_checks
from app.commands.diagnosis.asking import Asking, one_member
from app.commands.diagnosis.decoded import Decoded, decode
from app.commands.diagnosis.situation import Situation
from app.commands.diagnosis.words import quoted
from app.commands.screen import Finding
from app.oauth.access_token import AccessToken
from app.oauth.bearer import Scheme, credentials_from_header
from app.oauth.errors import InvalidToken
from app.oauth.header import Header, Judged, judge, parse
from app.oauth.reasons import Reason
from app.oauth.strict_json import NotStrictJson, parse_object

# Two letters of base64url in place of a part that is not asked about.
_OTHER_PART = "e30"


@dataclass(frozen=True, slots=True)
class Examination:
    """All that was found; `principal` holds what could be read, good or not, and is for a route's demands alone."""

    findings: tuple[Finding, ...]
    decoded: Decoded
    principal: AccessToken | None


def examine(field_value: str, situation: Situation, now: float) -> Examination:
    """Ask every check."""
    asking = Asking()
    scheme, token = _credentials(asking, field_value, situation)
    decoded = decode(token)
    _size(asking, token, decoded, field_value, situation)
    header = _shape(asking, token, decoded, situation)
    judged, typ = _header(asking, token, situation)
    strict, claims = _payload(header, decoded)
    key_checks.ask(asking, situation, header, judged, strict, claims)
    if header is None:
        asking.skip("json", "the token has no payload to read")
    else:
        asking.ask("json", lambda: _demand(strict is not None), _good("an object"), lambda: _not_json(decoded))
    principal = claim_checks.ask(asking, situation, claims, header, typ=typ, scheme=scheme, now=now)
    return Examination(tuple(asking.findings), decoded, principal)


def _credentials(asking: Asking, field_value: str, situation: Situation) -> tuple[Scheme, str]:
    """Take scheme and token as bearer.py does; where it refuses, take what stands after the scheme."""
    scheme, _, rest = field_value.strip().partition(" ")
    as_written: tuple[Scheme, str] = ("DPoP" if scheme.lower() == "dpop" else "Bearer", rest.strip())
    try:
        found = _read(field_value, situation)
    except InvalidToken as refused:
        if refused.reason is Reason.TOKEN_TOO_LARGE:
            asking.good("field", f"{as_written[0]} and one value")
        else:
            asking.fail("field", refused.reason, header_words.of_field(field_value))
        return as_written
    if found is None:
        words = header_words.of_scheme(field_value, proofs_taken=situation.proofs_taken)
        asking.fail("field", Reason.NO_CREDENTIALS, words)
        return as_written
    asking.good("field", f"{found[0]} and one token")
    return found


def _read(field_value: str, situation: Situation) -> tuple[Scheme, str] | None:
    return credentials_from_header(field_value, situation.policy.max_token_bytes, takes_dpop=situation.proofs_taken)


def _size(asking: Asking, token: str, decoded: Decoded, field_value: str, situation: Situation) -> None:
    policy = situation.policy

    def within() -> None:
        try:
            _read(field_value, situation)
        except InvalidToken as refused:
            if refused.reason is Reason.TOKEN_TOO_LARGE:
                raise

    good = f"{len(token)} bytes of at most {policy.max_token_bytes}"
    asking.ask("size", within, _good(good), lambda: header_words.of_size(token, decoded, policy))


def _shape(asking: Asking, token: str, decoded: Decoded, situation: Situation) -> Header | None:
    """Split the token with a header that is beyond reproach, then read its own header as an object."""
    boundless = replace(situation.policy, max_token_bytes=len(token) + 100)

    def split() -> Header:
        header = parse(token, boundless, lambda _segment: Judged(boundless.algorithms[0], None, None))
        _strict_header(token, situation)
        return header

    parts = "three parts of base64url, the first a JSON object"
    return asking.ask("shape", split, _good(parts), lambda: header_words.of_shape(decoded, situation.policy))


def _header(asking: Asking, token: str, situation: Situation) -> tuple[Judged | None, str | None]:
    """Judge one member of the header after the other; give what a key can be looked for with, and `typ`."""
    try:
        members = _strict_header(token, situation)
    except InvalidToken:
        for name in ("alg", "typ", "crit", "kid"):
            asking.skip(name, "the header cannot be read")
        return None, None
    policy = replace(situation.policy, profile="any")
    good = {"alg": policy.algorithms[0]}
    alg = asking.ask(
        "alg",
        lambda: judge(one_member(members, "alg"), policy).alg,
        lambda alg: f"{alg}, one of {', '.join(policy.algorithms)}" if len(policy.algorithms) > 1 else alg,
        lambda: header_words.of_algorithm(members, policy),
    )
    typ = asking.ask(
        "typ",
        lambda: judge(one_member(members, "typ", **good), situation.policy),
        lambda _judged: quoted(members["typ"]) if "typ" in members else "none, which passes",
        lambda: header_words.of_type(members, situation.policy),
    )
    extensions = asking.ask(
        "crit",
        lambda: judge(one_member(members, "crit", "b64", "zip", **good), policy),
        _good("no crit, b64 or zip"),
        lambda: header_words.of_extension(members),
    )
    kid = asking.ask(
        "kid",
        lambda: judge(one_member(members, "kid", **good), policy),
        lambda found: quoted(found.kid) if found.kid is not None else "none: the tenant must publish a single key",
        lambda: header_words.of_key_id(members),
    )
    found = None if typ is None else typ.typ
    if alg is None or kid is None or extensions is None:
        return None, found
    # A token of another type is refused already; its key can be looked for all the same.
    return Judged(alg, found, kid.kid), found


def _strict_header(token: str, situation: Situation) -> dict[str, Any]:
    """Read the first part as strictly as header.py does, by putting it where a payload stands."""
    part = token.partition(".")[0]
    boundless = replace(situation.policy, max_token_bytes=len(token) + 100)
    accepted = Judged(boundless.algorithms[0], None, None)
    content = parse(f"{_OTHER_PART}.{part}.{_OTHER_PART}", boundless, lambda _segment: accepted).payload
    try:
        return parse_object(content)
    except NotStrictJson:
        raise InvalidToken(Reason.MALFORMED_TOKEN) from None


def _payload(header: Header | None, decoded: Decoded) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Return the claims as the API reads them, and as they can be read at all."""
    if header is None:
        return None, decoded.claims
    try:
        strict = parse_object(header.payload)
    except NotStrictJson:
        return None, decoded.claims
    return strict, strict


def _demand(fulfilled: bool) -> bool:  # noqa: FBT001 - it is the question
    if not fulfilled:
        raise InvalidToken(Reason.MALFORMED_CLAIMS)
    return True


def _not_json(decoded: Decoded) -> header_words.Words:
    what = "no JSON object in UTF-8" if decoded.claims is None else "JSON that two parsers could read in two ways"
    why = "" if decoded.claims is None else " (a name twice, NaN, a number beyond 64 bits, or nested too deep)"
    return f"the payload is {what}{why}", "a tenant does not write this: where is the token from?"


def _good(text: str) -> Any:
    return lambda _result: text
