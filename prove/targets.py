"""What is called with made-up input, and what must hold of every outcome.

Takes   the fuzzer's bytes
Gives   TARGETS: by name, the call, and the inputs that a run begins with
Raises  Broken, or whatever a room let out that its docstring does not name: the fuzzer keeps the input as a crash
Not     running them (fuzz.py, fuzz_process.py)
Source  docs/contracts/tokens.md T1 to T19, P1: nothing that a token can hold gives a 500, nothing unsigned passes
"""

import json
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from app.oauth.access_token import AccessToken
from app.oauth.bearer import credentials_from_header
from app.oauth.claims import check
from app.oauth.dpop.check import DpopProofs, PresentedProof
from app.oauth.dpop.url import normalised, of_request
from app.oauth.errors import InvalidToken
from app.oauth.header import judge, parse
from app.oauth.keys.jwks import KeySetRejected, parse_key_set
from app.oauth.keys.source import StaticKeySource
from app.oauth.strict_json import MAX_BYTES, MAX_DEPTH, NotStrictJson, parse_object
from app.oauth.strict_json import parse as parse_json
from app.oauth.verifier import Verifier
from prove import material
from prove.material import (
    AUDIENCE,
    BOUND_TOKEN,
    GOOD_CLAIMS,
    GOOD_HEADER,
    ISSUER,
    KID,
    METHOD,
    NOW,
    POLICY,
    PROOF_CLAIMS,
    PROOF_HEADER,
    URL,
)

_B64TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)
_VERIFIER: Final = Verifier(POLICY, {ISSUER: StaticKeySource(ISSUER, material.key_set())})
_MAX_TOKEN_BYTES: Final = 4096


class Broken(AssertionError):  # noqa: N818 - what is found, not an error of ours
    """What must always hold does not."""


@dataclass(frozen=True)
class Target:
    """One call under test; `seeds` are inputs that go deep at once."""

    call: Callable[[bytes], None]
    seeds: tuple[bytes, ...]


def header(content: bytes) -> None:
    """The text as a token, and the same bytes as the JSON of a header."""
    with suppress(InvalidToken):
        found = parse(content.decode("latin-1"), POLICY)
        spelled = f"{found.signing_input.decode()}.{material.segment(found.signature)}"
        demand(spelled == content.decode("latin-1"), "a token has one spelling")
        demand(found.alg in POLICY.algorithms, "the algorithm is on the list")
    with suppress(InvalidToken):
        judged = judge(material.segment(content).encode(), POLICY)
        demand(judged.alg in POLICY.algorithms, "the algorithm is on the list")
        demand(judged.typ in (None, "jwt", "at+jwt"), "the type is of an access token")
        demand(judged.kid is None or 0 < len(judged.kid) <= 200, "the name is short")  # noqa: PLR2004
        members = json.loads(content)
        demand(not {"crit", "b64", "zip"} & members.keys(), "no extension passes")


def strict_json(content: bytes) -> None:
    """Any bytes: refused, or read exactly as the standard library reads them, with nothing in doubt."""
    with suppress(NotStrictJson):
        read = parse_json(content, max_bytes=MAX_BYTES, max_depth=MAX_DEPTH)
        demand(same(read, json.loads(content, object_pairs_hook=_once)), "one reading only")
        json.dumps(read, ensure_ascii=False, allow_nan=False).encode("utf-8")
        demand(_depth(read) <= MAX_DEPTH, "the depth is bounded")


def claims(content: bytes) -> None:
    """Changes to good claims, and the bytes themselves as claims."""
    choices = _choices(content)
    typ = (None, "jwt", "at+jwt")[choices.ConsumeIntInRange(0, 2)]
    for made in (_object_of(content), _object_of(material.written(material.changed(GOOD_CLAIMS, choices)))):
        if made is not None:
            with suppress(InvalidToken):
                demand_good(check(made, POLICY, typ=typ, now=NOW, signing_input=content), made)


def bearer(content: bytes) -> None:
    """Any field as WSGI gives it: a token of RFC 6750's characters, no credentials, or a refusal."""
    value = content.decode("latin-1")
    for field in (value, f"Bearer {value}", f"dpop {value}"):
        with suppress(InvalidToken):
            found = credentials_from_header(field, _MAX_TOKEN_BYTES)
            if found is not None:
                scheme, token = found
                demand(_B64TOKEN.fullmatch(token) is not None, "only b64token characters")
                demand(len(token) <= _MAX_TOKEN_BYTES, "the length is bounded")
                demand(field.strip(" \t").lower().startswith(scheme.lower() + " "), "the scheme is the one named")


def verifier(content: bytes) -> None:
    """Whole tokens: as text, taken apart and put together unsigned, and signed by the issuer's key."""
    choices = _choices(content)
    kind = choices.ConsumeIntInRange(0, 3)
    if kind == 0:
        refuse(choices.ConsumeUnicode(choices.remaining_bytes()))
        return
    made_header = material.written(material.changed(GOOD_HEADER, choices))
    made_payload = material.written(material.changed(GOOD_CLAIMS, choices))
    if kind == 1:
        refuse(material.unsigned(made_header, made_payload, choices.ConsumeBytes(choices.remaining_bytes())))
    elif kind == 2:  # noqa: PLR2004 - numbers of a die
        refuse(_spoiled(material.signed(made_header, made_payload), choices))
    else:
        with suppress(InvalidToken):
            demand_good(_VERIFIER.verify(material.signed(made_header, made_payload), now=NOW), json.loads(made_payload))


def dpop(content: bytes) -> None:
    """The DPoP field: as text, put together unsigned, and signed by the key that the token is bound to."""
    choices = _choices(content)
    kind = choices.ConsumeIntInRange(0, 2)
    if kind == 0:
        _refuse_proof(choices.ConsumeUnicode(choices.remaining_bytes()))
        return
    made_header = material.written(material.changed(PROOF_HEADER, choices))
    made = material.changed(PROOF_CLAIMS, choices)
    if kind == 1:
        _refuse_proof(material.unsigned(made_header, material.written(made), choices.ConsumeBytes(64)))
        return
    with suppress(InvalidToken):
        _check_proof(material.signed(made_header, material.written(made)))
        demand(made["htm"] == METHOD, "the proof is for this method")
        demand(made["ath"] == PROOF_CLAIMS["ath"], "and for this token")
        demand(normalised(made["htu"]) == URL, "and for this address")
        demand(NOW - 60 <= made["iat"] <= NOW + 30, "and was made just now")
        demand(isinstance(made["jti"], str) and made["jti"] != "", "and has a name")


def dpop_url(content: bytes) -> None:
    """Any text as an address: it has one way to be written, or none."""
    text = content.decode("utf-8", "surrogateescape")
    for url in (text, f"https://api.example/{text}"):
        written = normalised(url)
        if written is not None:
            # `%2F` becomes a slash after the dots were taken out, and may leave new ones; requests keep theirs, too.
            demand("%2f" in url.lower() or normalised(written) == written, "what is normalised stays so")
            demand(written.startswith(("http://", "https://")), "it is a web address")
            demand(not {"?", "#", "@", " "} & set(written), "without query, fragment and user")
    demand(
        of_request("https://api.example", text).startswith("https://api.example/"), "the path never becomes the host"
    )


def key_set(content: bytes) -> None:
    """Any document: refused, or a set of public keys for the algorithms of the list."""
    with suppress(KeySetRejected):
        for key in parse_key_set(content, POLICY.algorithms).keys:
            demand(key.algorithms <= set(POLICY.algorithms), "no other algorithm")
            demand(not key.verify(min(key.algorithms), b"x", bytes(64)), "nothing unsigned is ever accepted")


def demand(holds: bool, what: str) -> None:  # noqa: FBT001 - reads as an assertion
    """Stop the fuzzer if it does not hold; not `assert`, which -O takes out."""
    if not holds:
        raise Broken(what)


def refuse(token: str) -> None:
    """Demand that the verifier refuses a token that nobody has signed."""
    try:
        _VERIFIER.verify(token, now=NOW)
    except InvalidToken:
        return
    raise Broken("an unsigned token was accepted")


def demand_good(token: AccessToken, made: dict[str, Any]) -> None:
    """Hold what was accepted against the claims, read in the plainest way."""
    demand(made["iss"] == ISSUER == token.issuer, "the issuer is ours")
    demand(made["aud"] == AUDIENCE or AUDIENCE in list(made["aud"]), "the audience is ours")
    demand(made["exp"] > NOW - 30, "it has not expired")
    demand(made.get("nbf", NOW) <= NOW + 30 and made.get("iat", NOW) <= NOW + 30, "its time has come")
    demand(isinstance(made["sub"], str) and 0 < len(made["sub"]) <= 255, "it has a subject")  # noqa: PLR2004
    demand(token.scopes == set(made.get("scope", "").split(" ")) - {""}, "the scopes are those that were written")
    demand(token.permissions == set(made.get("permissions", [])), "and the permissions")
    demand(not {"at_hash", "c_hash", "events"} & made.keys(), "it is no other token of the tenant")
    demand((token.bound_to is not None) == ("cnf" in made), "a bound token is never a plain one")


def _choices(content: bytes) -> material.Choices:
    from atheris import FuzzedDataProvider  # noqa: PLC0415 - the list of targets is read where there is no atheris, too

    choices: material.Choices = FuzzedDataProvider(content)
    return choices


class _AlwaysNew:
    """A store to which every proof is new: whether one was used before is not what is tried here."""

    def remember(self, jkt: str, jti_digest: str, *, expires_at: int, now: float) -> bool:  # noqa: ARG002
        return True


def _check_proof(field: str) -> None:
    presented = PresentedProof(field, METHOD, URL)
    DpopProofs(_AlwaysNew()).check(presented, BOUND_TOKEN, material.key_thumbprint(), now=NOW)


def _refuse_proof(field: str) -> None:
    try:
        _check_proof(field)
    except InvalidToken:
        return
    raise Broken("an unsigned proof was accepted")


def same(one: Any, other: Any) -> bool:
    """Tell whether two JSON values are one, 1 and 1.0 and True apart."""
    return json.dumps(one) == json.dumps(other)


def _once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    demand(len({name for name, _ in members}) == len(members), "no name stands twice")
    return dict(members)


def _depth(read: Any) -> int:
    inner = read.values() if isinstance(read, dict) else read if isinstance(read, list) else None
    return 0 if inner is None else 1 + max(map(_depth, inner), default=0)


def _object_of(content: bytes) -> dict[str, Any] | None:
    try:
        return parse_object(content)
    except NotStrictJson:
        return None


def _spoiled(token: str, choices: material.Choices) -> str:
    """The token with one character changed, put in or taken out."""
    place = choices.ConsumeIntInRange(0, len(token) - 1)
    kept = token[place + 1 :] if choices.ConsumeBool() else token[place:]
    spoiled = token[:place] + choices.ConsumeUnicode(1) + kept
    return spoiled if spoiled != token else token + "A"


_GOOD: Final = material.signed(material.written(GOOD_HEADER), material.written(GOOD_CLAIMS))
_KEYS: Final = json.dumps(
    {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid": KID}]}
).encode()

TARGETS: Final = {
    "header": Target(
        header, (_GOOD.encode(), material.written(GOOD_HEADER), b"a.b.c", b'{"alg":"RS256","crit":["b64"]}')
    ),
    "strict_json": Target(
        strict_json,
        (material.written(GOOD_CLAIMS), b'{"a":[1e400,NaN]}', b'{"a":1,"\\u0061":-0.0}', b"[" * 33 + b"]" * 33),
    ),
    "claims": Target(claims, (material.written(GOOD_CLAIMS), bytes(64), b"\xff" * 64)),
    "bearer": Target(bearer, (_GOOD.encode(), b"Bearer a.b.c", b"dpop a.b.c, Bearer x", b" \tbearer  null")),
    "verifier": Target(verifier, (bytes(64), b"\x01" * 64, b"\x02" * 64, b"\x03" * 64, b"\xff" * 128)),
    "dpop": Target(dpop, (bytes(64), b"\x01" * 64, b"\x02" * 64, b"\xff" * 128)),
    "dpop_url": Target(dpop_url, (URL.encode(), b"HTTPS://API.example:443/a/%2e%2E/b//%7e?q#f", b"v1/%C3%A9/../me;x")),
    "key_set": Target(key_set, (_KEYS, b'{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"},{"kty":"oct","k":"eA"}]}')),
}
