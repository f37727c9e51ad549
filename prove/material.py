"""What made-up bytes are turned into: tokens, claims and headers that are almost right.

Takes   a Choices: the fuzzer's bytes, read as decisions
Gives   a policy, a verifier with a static key, tokens that this key has signed or not signed
Raises  nothing
Not     what must hold of the outcome (targets.py)
Source  docs/contracts/tokens.md T6 to T18
"""

import json
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import Any, Final, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.oauth.claims import SUPPORTED_ALGORITHMS, TokenPolicy
from app.oauth.keys.jwks import KeySet, parse_key_set


def segment(content: bytes) -> str:
    """base64url without padding."""
    return urlsafe_b64encode(content).rstrip(b"=").decode()


NOW: Final = 1_800_000_000
ISSUER: Final = "https://tenant.example/"
AUDIENCE: Final = "https://api.example/"
CLIENT_ID: Final = "nativeAppClientId0123456789abcdef"
KID: Final = "ed-1"
POLICY: Final = TokenPolicy(
    issuers=(ISSUER,), audiences=frozenset({AUDIENCE}), algorithms=SUPPORTED_ALGORITHMS, clock_skew_seconds=30
)
# Ed25519: a signature costs 50 µs, so that most of the time goes into the rooms under test.
_KEY: Final = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
_JWK: Final = {"kty": "OKP", "crv": "Ed25519", "x": segment(_KEY.public_key().public_bytes_raw())}

GOOD_HEADER: Final[dict[str, Any]] = {"alg": "EdDSA", "typ": "at+jwt", "kid": KID}
GOOD_CLAIMS: Final[dict[str, Any]] = {
    "iss": ISSUER,
    "sub": "auth0|5f7c8ec7c33c6c004bbafe82",
    "aud": [AUDIENCE, "https://tenant.example/userinfo"],
    "iat": NOW,
    "nbf": NOW,
    "exp": NOW + 3600,
    "scope": "openid read:profile",
    "client_id": CLIENT_ID,
    "jti": "Zk1qXN3sYw0tVbT5m2pLrA",
}
# What the app's proof is made for, and a good one's header and claims.
METHOD: Final = "GET"
URL: Final = "https://api.example/v1/me"
BOUND_TOKEN: Final = "a.b.c"  # noqa: S105 - not even a token
PROOF_HEADER: Final[dict[str, Any]] = {"typ": "dpop+jwt", "alg": "EdDSA", "jwk": _JWK}
PROOF_CLAIMS: Final[dict[str, Any]] = {
    "jti": "x", "htm": METHOD, "htu": URL, "iat": NOW, "ath": segment(sha256(BOUND_TOKEN.encode()).digest()),
}  # fmt: skip
# Names that some room reads, and values that once were a way in.
_NAMES: Final = (
    *GOOD_CLAIMS, *GOOD_HEADER, *PROOF_CLAIMS, "azp", "scp", "permissions", "org_id", "auth_time", "acr", "amr", "cnf",
    "gty", "nonce", "sid", "at_hash", "c_hash", "events", "token_use", "token_type", "crit", "b64", "zip", "jku",
    "jwk", "x5u", "x",
)  # fmt: skip
_VALUES: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 1.5, NOW, NOW + 29, NOW + 31, NOW - 31, -(2**63), 2**64 - 1, 1e308, "", " ", "a", ISSUER,
    AUDIENCE, CLIENT_ID, KID, "RS256", "EdDSA", "none", "JWT", "at+jwt", "dpop+jwt", "Bearer", "refresh", "ID",
    "client-credentials", f"{CLIENT_ID}@clients", "anon@x", "read:profile", "\x00", "é", [], {}, [AUDIENCE],
    [[AUDIENCE]], [None], {"jkt": "A" * 43}, {"jkt": "A" * 43, "x": 1}, URL,
    METHOD, "HTTPS://API.example:443/v1/x/../me?q#f", _JWK, {**_JWK, "d": "eA"}, {"kty": "oct", "k": "eA"},
)  # fmt: skip


class Choices(Protocol):
    """What atheris.FuzzedDataProvider offers of it."""

    def ConsumeIntInRange(self, lowest: int, highest: int, /) -> int: ...  # noqa: N802, D102
    def ConsumeUnicode(self, count: int, /) -> str: ...  # noqa: N802, D102
    def ConsumeBytes(self, count: int, /) -> bytes: ...  # noqa: N802, D102
    def ConsumeBool(self) -> bool: ...  # noqa: N802, D102
    def remaining_bytes(self) -> int: ...  # noqa: D102


def key_set() -> KeySet:
    """The key set that the issuer publishes."""
    jwk = {**_JWK, "kid": KID, "use": "sig", "alg": "EdDSA"}
    return parse_key_set(json.dumps({"keys": [jwk]}).encode(), SUPPORTED_ALGORITHMS)


def changed(members: dict[str, Any], choices: Choices) -> dict[str, Any]:
    """These members with up to five changes, each one decided by the input."""
    result = dict(members)
    for _ in range(choices.ConsumeIntInRange(0, 5)):
        name = _NAMES[choices.ConsumeIntInRange(0, len(_NAMES) - 1)]
        if choices.ConsumeIntInRange(0, 5) == 0:
            result.pop(name, None)
        else:
            result[name] = value(choices)
    return result


def value(choices: Choices) -> Any:
    """One JSON value: from the list, or made of the input."""
    kind = choices.ConsumeIntInRange(0, 5)
    if kind <= 1:
        return _VALUES[choices.ConsumeIntInRange(0, len(_VALUES) - 1)]
    if kind == 2:  # noqa: PLR2004 - numbers of a die
        return choices.ConsumeIntInRange(-(2**63), 2**63 - 1)
    if kind == 3:  # noqa: PLR2004
        return choices.ConsumeUnicode(choices.ConsumeIntInRange(0, 300))
    inner = [value(choices) for _ in range(choices.ConsumeIntInRange(0, 3))] if choices.remaining_bytes() else []
    return inner if kind == 4 else {str(index): entry for index, entry in enumerate(inner)}  # noqa: PLR2004


def written(members: Any) -> bytes:
    """JSON with half surrogates and what else a str may hold."""
    return json.dumps(members).encode()


def unsigned(header: bytes, payload: bytes, signature: bytes) -> str:
    """A token of these three parts, whatever they are."""
    return f"{segment(header)}.{segment(payload)}.{segment(signature)}"


def signed(header: bytes, payload: bytes) -> str:
    """A token that the issuer's key has signed."""
    content = f"{segment(header)}.{segment(payload)}"
    return f"{content}.{segment(_KEY.sign(content.encode()))}"


def key_thumbprint() -> str:
    """What `cnf.jkt` of a token that is bound to the key says."""
    return key_set().keys[0].thumbprint
