"""Read a DPoP proof: one field becomes a key, claims and a signature that is still to be checked.

Takes   the DPoP field as WSGI gives it, or None
Gives   Proof: its key, its claims by name, what the signature covers
Raises  InvalidProof(fault) and nothing else, whatever the field is
Not     what the claims must say, the signature, the replay (check.py); `kid`, `jku`, `x5u` and `x5c` are never read
Source  RFC 9449 §4.2, §4.3; RFC 7515 §4.1, §5.2; RFC 7517 §9.2; RFC 8725 §3.1; docs/contracts/tokens.md P1
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from app.oauth.dpop.faults import Fault, InvalidProof
from app.oauth.header import EXTENSIONS, decoded
from app.oauth.keys.jwks import KeyRefused, VerificationKey, read_public_key
from app.oauth.strict_json import parse_object

# NOTE: whatever TOKEN_ALGORITHMS says: the app signs its proofs, not the tenant. No HS*, no `none`.
ALGORITHMS: Final = ("ES256", "Ed25519", "EdDSA", "RS256", "PS256")
# RFC 9864 §2.2, §4: the polymorphic name is deprecated, and clients that follow it sign by the curve's name.
_SAME_ALGORITHM: Final = {"Ed25519": "EdDSA"}
MAX_FIELD_BYTES: Final = 8192
_SEGMENTS: Final = 3


@dataclass(frozen=True, slots=True)
class ProofKey:
    """What an accepted header says: the key of the app, and the algorithm that it signs with."""

    alg: str
    key: VerificationKey


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof with a good header; `claims` are not to be trusted before `is_signed` has said so."""

    alg: str
    key: VerificationKey
    claims: dict[str, Any]
    signing_input: bytes
    signature: bytes

    def is_signed(self) -> bool:
        """Tell whether the signature is by the key of the header."""
        return self.key.verify(self.alg, self.signing_input, self.signature)


def read_header(segment: bytes) -> ProofKey:
    """Decode and check one header segment: a pure function of its bytes, so that who calls it may remember it."""
    try:
        members = parse_object(decoded(segment))
    except ValueError:
        raise InvalidProof(Fault.MALFORMED) from None
    if members.get("typ") != "dpop+jwt":
        raise InvalidProof(Fault.TYPE)
    alg = members.get("alg")
    # NOTE: the type first; `["ES256"]` is not hashable and must not become an error 500.
    if type(alg) is not str or alg not in ALGORITHMS:
        raise InvalidProof(Fault.ALGORITHM)
    if not EXTENSIONS.isdisjoint(members):
        raise InvalidProof(Fault.EXTENSION)
    alg = _SAME_ALGORITHM.get(alg, alg)
    try:
        return ProofKey(alg, read_public_key(members.get("jwk"), alg))
    except KeyRefused as refused:
        raise InvalidProof(Fault.PRIVATE_KEY if refused.is_private else Fault.KEY) from None


def read(field: str | None, header: Callable[[bytes], ProofKey] = read_header) -> Proof:
    """Read the one proof of the field.

    Args:
        field: anything that came in the DPoP field; None if there was none.
        header: `read_header`, with a memory; an app sends the same header in every proof.
    """
    text = (field or "").strip(" \t")
    if not text:
        raise InvalidProof(Fault.MISSING)
    if len(text) > MAX_FIELD_BYTES:
        raise InvalidProof(Fault.TOO_LARGE)
    # WSGI servers join repeated fields with a comma, and no JWT holds one.
    if "," in text:
        raise InvalidProof(Fault.REPEATED)
    try:
        encoded = text.encode("ascii")
        segments = encoded.split(b".")
        if len(segments) != _SEGMENTS:
            raise InvalidProof(Fault.MALFORMED)
        payload, signature = decoded(segments[1]), decoded(segments[2])
        known = header(segments[0])
        claims = parse_object(payload)
    except ValueError:
        raise InvalidProof(Fault.MALFORMED) from None
    return Proof(known.alg, known.key, claims, encoded[: -len(segments[2]) - 1], signature)
