"""Say why a token was refused before its keys were looked for: field, size, shape, header.

Takes   what was sent, what could be decoded of it, the policy
Gives   (what is wrong, with the actual and the expected value;  what to do about it)
Raises  nothing
Not     whether it was refused: checks.py asks the API's own code, and only then the words here
Source  RFC 6750 §2.1; RFC 7515 §2, §4.1; docs/contracts/tokens.md T2 to T10
"""

import json
import re
from typing import Any

from app.commands.diagnosis.decoded import Decoded
from app.commands.diagnosis.words import kind_of_value, quoted
from app.oauth.claims import SUPPORTED_ALGORITHMS, TokenPolicy

Words = tuple[str, str | None]

_ENCRYPTED_PARTS, _SIGNED_PARTS = 5, 3
_PARTS = ("header", "payload", "signature")
_PURPOSES = {
    "logout+jwt": "a logout token",
    "dpop+jwt": "a DPoP proof, which belongs into the DPoP field of a request",
    "secevent+jwt": "a security event token",
    "rt+jwt": "a refresh token",
    "id+jwt": "an ID token",
}


def of_field(value: str) -> Words:  # noqa: PLR0911 - one for each slip
    """Explain an Authorization field without one well-formed token."""
    scheme, _, rest = value.strip().partition(" ")
    token = rest.strip()
    if token in {"null", "undefined"}:
        return f"the word {token} stands where the token should", "the app calls before it has a token: log in first"
    if not token:
        return f"after {scheme} there is no token", "send: Authorization: Bearer <access token>"
    if re.search(r"\s", token):
        return (
            "there is a blank or a line break inside the token",
            "copy it from the token response, not from a wrapped line; send it as one piece",
        )
    if "," in token:
        return "two values are joined by a comma", "send one Authorization field: two libraries seem to add one each"
    if any(quote in token for quote in "\"'"):
        return "there are quotes in the token", "take the string out of the JSON before it is sent"
    odd = next((letter for letter in token if not re.match(r"[A-Za-z0-9\-._~+/=]", letter)), None)
    if odd is not None:
        return f"the character {quoted(odd)} cannot stand in a token", "send access_token of the response unchanged"
    return "after the scheme must stand a space, then one token", "send: Authorization: Bearer <access token>"


def of_scheme(value: str, *, proofs_taken: bool) -> Words:
    """Explain a field of another scheme."""
    scheme = value.strip().partition(" ")[0]
    if scheme.lower() == "dpop" and not proofs_taken:
        return "the scheme is DPoP, and DPOP_MODE is off: to this API that is no token at all", "turn DPOP_MODE on"
    return (
        f"the scheme is {quoted(scheme)}: to this API that is no token at all",
        "send: Authorization: Bearer <access token>",
    )


def of_size(token: str, decoded: Decoded, policy: TokenPolicy) -> Words:
    """Name the claims that make a token large."""
    sizes = {name: len(json.dumps(value)) for name, value in (decoded.claims or {}).items()}
    largest = sorted(sizes, key=lambda name: -sizes[name])[:3]
    named = ", ".join(f"{quoted(name)} {sizes[name]} bytes" for name in largest)
    return (
        f"{len(token)} bytes, MAX_TOKEN_BYTES is {policy.max_token_bytes}" + (f"; largest: {named}" if named else ""),
        "put fewer or shorter claims into the token at the tenant, or raise MAX_TOKEN_BYTES",
    )


def of_shape(decoded: Decoded, policy: TokenPolicy) -> Words:
    """Explain a token that is not three parts of base64url around a JSON header."""
    count = len(decoded.parts)
    audience = " or ".join(sorted(policy.audiences))
    if count == 1 or (count == _ENCRYPTED_PARTS and (decoded.header or {}).get("alg") == "dir"):
        return (
            "opaque: the app did not ask for this API",
            f"request audience={audience} when logging in (if this is a refresh token: send access_token instead)",
        )
    if count == _ENCRYPTED_PARTS:
        header = decoded.header or {}
        return (
            f"encrypted (five parts; alg {quoted(header.get('alg'))}, enc {quoted(header.get('enc'))})",
            "turn token encryption off for this API at the tenant (Auth0: APIs, your API, Token Encryption)",
        )
    if count != _SIGNED_PARTS:
        lost = "; Auth0's refresh tokens look like this" if decoded.parts[0] == "v1" else "; the end seems cut off"
        return (
            f"{count} parts with dots between them, a signed JWT has 3{lost if count < _SIGNED_PARTS else ''}",
            "send access_token of the token response, whole",
        )
    for name, part in zip(_PARTS, decoded.parts, strict=True):
        wrong = _of_part(part)
        if wrong is not None:
            return f"the {name} {wrong}", "send access_token of the token response unchanged and whole"
    return "the header is no JSON object with each name once", "a tenant does not write this: where is it from?"


def of_algorithm(header: dict[str, Any], policy: TokenPolicy) -> Words:
    """Explain an `alg` that is not on the list."""
    alg = header.get("alg")
    allowed = ", ".join(policy.algorithms)
    at_tenant = f"set {policy.algorithms[0]} at the tenant's API settings (Auth0: APIs, your API, Signing Algorithm)"
    if "alg" not in header or type(alg) is not str:
        return f"alg is {quoted(alg) if 'alg' in header else 'missing'}, and must be one of {allowed}", at_tenant
    if alg.lower() == "none":
        return "alg none: the token is not signed", "nobody may send such a token: send the tenant's access token"
    if alg in SUPPORTED_ALGORITHMS:
        return f"alg {alg}, TOKEN_ALGORITHMS is {allowed}", f"{at_tenant}, or add {alg} to TOKEN_ALGORITHMS"
    return f"alg {quoted(alg)}, TOKEN_ALGORITHMS is {allowed}", at_tenant


def of_type(header: dict[str, Any], policy: TokenPolicy) -> Words:
    """Explain a `typ` that is no access token's."""
    typ = header.get("typ")
    word = typ.lower().removeprefix("application/") if type(typ) is str else ""
    if word in _PURPOSES:
        return f"typ {quoted(typ)}: this is {_PURPOSES[word]}", "send access_token of the token response"
    if policy.profile == "rfc9068" and word in {"", "jwt"}:
        stated = f"typ {quoted(typ)}" if "typ" in header else "no typ"
        return (
            f"{stated}, and TOKEN_PROFILE=rfc9068 demands at+jwt",
            "choose the RFC 9068 token profile for this API at the tenant, or set TOKEN_PROFILE=any",
        )
    return f"typ {quoted(typ)}, an access token has at+jwt, JWT or none", "send access_token of the token response"


def of_extension(header: dict[str, Any]) -> Words:
    """Name the extension that this API does not understand."""
    named = ", ".join(name for name in ("crit", "b64", "zip") if name in header)
    return f"the header has {named}, which this API does not understand", "let the tenant issue plain signed JWTs"


def of_key_id(header: dict[str, Any]) -> Words:
    """Explain an odd `kid`."""
    kid = header.get("kid")
    if type(kid) is not str:
        return f"kid is {kind_of_value(kid)}, and must be a string", "a tenant does not write this: where is it from?"
    return (
        f"kid has {len(kid)} characters: it must be 1 to 200 of printable ASCII",
        "a tenant does not write this: where is it from?",
    )


def _of_part(part: str) -> str | None:  # noqa: PLR0911 - one for each slip
    if not part:
        return "is empty"
    if "=" in part:
        return "has padding (=), which a JWT must not have: some library has encoded it again"
    if "+" in part or "/" in part:
        return "is written in base64, not base64url (+ and / instead of - and _): some library has encoded it again"
    if re.search(r"[^A-Za-z0-9_-]", part):
        return "holds a character that base64url does not know"
    if len(part) % 4 == 1:
        return f"has {len(part)} characters, which cannot be: one was lost or added"
    if not _is_canonical(part):
        return "ends in a character that leaves bits over: it was cut or changed"
    return None


def _is_canonical(part: str) -> bool:
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".index(part[-1])
    return last % {0: 1, 2: 16, 3: 4}[len(part) % 4] == 0
