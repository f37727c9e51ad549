"""Read a key set (JWKS) into keys that can verify, and leave the odd ones out; or one key, which must not be odd.

Takes   document: bytes, as the issuer published them;  algorithms: the names this API accepts
        for a DPoP proof: one JWK, from anyone
Gives   KeySet, frozen, of VerificationKey; an odd key is skipped and counted, it never spoils the set
Raises  KeySetRejected(why) for a document that cannot replace a good set: oversized, malformed, keyless
        KeyRefused for one JWK that is odd
Not     fetching (download.py), keeping (cache.py), choosing an issuer, claims (claims.py)
Source  RFC 7517 §4, §5; RFC 7518 §3, §6; RFC 7638; RFC 8037; RFC 8725 §3.1, §3.5
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import orjson
from joserfc.jwk import import_key
from jwt import PyJWK
from jwt.algorithms import Algorithm, get_default_algorithms

MAX_DOCUMENT_BYTES = 262_144
MAX_KEYS = 100
MAX_KID_LENGTH = 200
MIN_RSA_BITS = 2048
# NOTE OpenSSL refuses far larger ones only at the verification; a giant modulus would make every request slow.
MAX_RSA_BITS = 8192
# A proof's key is anyone's choice, and each of its signatures is paid for here.
MAX_RSA_BITS_OF_PROOFS = 4096
MIN_RSA_EXPONENT = 3
MAX_RSA_EXPONENT_BITS = 64

# NOTE HS* and none are not here and can therefore never verify, whatever the settings or the key set say.
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_BY_CURVE: Mapping[tuple[str, str], tuple[str, int]] = MappingProxyType(
    {
        # kty, crv: algorithm, length of its raw signature in bytes (RFC 7518 §3.4, RFC 8037 §3.1)
        ("EC", "P-256"): ("ES256", 64),
        ("EC", "P-384"): ("ES384", 96),
        ("EC", "P-521"): ("ES512", 132),
        ("OKP", "Ed25519"): ("EdDSA", 64),
    }
)
_ALGORITHMS: Mapping[str, Algorithm] = MappingProxyType(
    {
        name: algorithm
        for name, algorithm in get_default_algorithms().items()
        if name in _RSA or name in {alg for alg, _ in _BY_CURVE.values()}
    }
)
# RFC 9864 calls EdDSA on this curve by the curve's name; PyJWT would drop such a key silently.
_SAME_ALGORITHM = MappingProxyType({"Ed25519": "EdDSA"})
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


class KeySetRejected(Exception):  # noqa: N818 - named by what happened to the document
    """The document is no key set that this API could verify a token with."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class KeyRefused(Exception):  # noqa: N818 - named by what happened to the key
    """One JWK is no public key for its algorithm; `is_private`: it holds what must never leave its owner."""

    def __init__(self, *, is_private: bool) -> None:
        super().__init__("private" if is_private else "odd")
        self.is_private = is_private


@dataclass(frozen=True, slots=True, eq=False)
class VerificationKey:
    """One usable public key. Checks signatures; does not know whether it is still published or trusted."""

    kid: str | None
    algorithms: frozenset[str]
    thumbprint: str
    _public_key: Any = field(repr=False)
    _signature_bytes: int = field(repr=False)
    _is_ecdsa: bool = field(repr=False)

    def verify(self, alg: str, signing_input: bytes, signature: bytes) -> bool:
        """Tell whether the signature is this key's, over exactly these bytes, by an algorithm this key is for."""
        if alg not in self.algorithms or len(signature) != self._signature_bytes:
            return False
        if self._is_ecdsa:
            half = self._signature_bytes // 2
            # r = s = 0 verified everything in some libraries (CVE-2022-21449); do not lean on this one's care.
            if not any(signature[:half]) or not any(signature[half:]):
                return False
        return _ALGORITHMS[alg].verify(signing_input, self._public_key, signature)


@dataclass(frozen=True, slots=True)
class KeySet:
    """The usable keys of one issuer at one moment; `skipped` counts the others by reason."""

    keys: tuple[VerificationKey, ...]
    skipped: Mapping[str, int]
    _by_name: Mapping[tuple[str | None, str], VerificationKey] = field(repr=False)
    _identities: frozenset[tuple[str | None, str, frozenset[str]]] = field(repr=False)

    def find(self, kid: str | None, alg: str) -> VerificationKey | None:
        """Return the key of that name for that algorithm; without a name, the only key there is for it."""
        return self._by_name.get((kid, alg))

    def holds(self, key: VerificationKey) -> bool:
        """Tell whether this set still publishes the key: same name, same material, for the same algorithms."""
        return (key.kid, key.thumbprint, key.algorithms) in self._identities

    def kids(self) -> tuple[str, ...]:
        """Return the names of the keys, sorted, each once."""
        return tuple(sorted({key.kid for key in self.keys if key.kid is not None}))


def parse_key_set(document: bytes, algorithms: Iterable[str]) -> KeySet:
    """Return the usable keys of the document; refuse a document without any."""
    allowed = frozenset(algorithms) & _ALGORITHMS.keys()
    skipped: Counter[str] = Counter()
    keys: list[VerificationKey] = []
    for jwk in _members(document):
        try:
            keys.append(_read(jwk, allowed))
        except _Odd as odd:
            skipped[odd.why] += 1
        except Exception:  # noqa: BLE001 - T13: whatever a library makes of an odd key, it never spoils the set
            skipped["malformed"] += 1
    keys, conflicts = _without_conflicts(keys)
    if conflicts:
        skipped["conflict"] += conflicts
    if not keys:
        raise KeySetRejected("no_usable_key")
    return KeySet(
        keys=tuple(keys),
        skipped=MappingProxyType(dict(skipped)),
        _by_name=MappingProxyType(_by_name(keys)),
        _identities=frozenset((key.kid, key.thumbprint, key.algorithms) for key in keys),
    )


def read_public_key(jwk: Any, alg: str) -> VerificationKey:
    """Return the key of one JWK, usable for this algorithm alone; refuse an odd one, whatever it holds."""
    try:
        key = _read(jwk, frozenset({alg}), MAX_RSA_BITS_OF_PROOFS)
    except _Odd as odd:
        raise KeyRefused(is_private=odd.why == "private") from None
    except Exception:  # noqa: BLE001 - whatever a library makes of an odd key, it is the sender's fault and no 500
        raise KeyRefused(is_private=False) from None
    return key


class _Odd(Exception):  # noqa: N818 - not an error: the reason why one key is left out
    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def _members(document: bytes) -> list[Any]:
    if len(document) > MAX_DOCUMENT_BYTES:
        raise KeySetRejected("oversized")
    try:
        content = orjson.loads(document)
    except ValueError as error:
        raise KeySetRejected("malformed") from error
    if not isinstance(content, dict) or not isinstance(content.get("keys"), list):
        raise KeySetRejected("not_a_key_set")
    members: list[Any] = content["keys"]
    if len(members) > MAX_KEYS:
        raise KeySetRejected("too_many_keys")
    return members


def _read(jwk: Any, allowed: frozenset[str], max_rsa_bits: int = MAX_RSA_BITS) -> VerificationKey:
    if not isinstance(jwk, dict):
        raise _Odd("malformed")
    kid = jwk.get("kid")
    if kid is not None and not (isinstance(kid, str) and 1 <= len(kid) <= MAX_KID_LENGTH):
        raise _Odd("kid")
    _check_purpose(jwk)
    fitting = _fitting(jwk)
    if "alg" in jwk:
        stated = jwk["alg"]
        fitting &= {_SAME_ALGORITHM.get(stated, stated)}
    usable = fitting & allowed
    if not usable:
        raise _Odd("algorithm")
    name = min(usable)
    public_key = PyJWK(jwk, algorithm=name).key
    is_rsa = jwk["kty"] == "RSA"
    signature_bytes = _rsa_bytes(public_key, max_rsa_bits) if is_rsa else _BY_CURVE[jwk["kty"], jwk["crv"]][1]
    return VerificationKey(
        kid=kid,
        algorithms=usable,
        # NOTE from the parsed numbers, not from the published members: one key written in two ways
        # (leading zeros, padding) is still one key.
        thumbprint=import_key(_ALGORITHMS[name].to_jwk(public_key, as_dict=True)).thumbprint(),
        _public_key=public_key,
        _signature_bytes=signature_bytes,
        _is_ecdsa=jwk["kty"] == "EC",
    )


def _check_purpose(jwk: dict[str, Any]) -> None:
    if jwk.get("kty") == "oct":
        raise _Odd("symmetric")
    if not _PRIVATE_MEMBERS.isdisjoint(jwk):
        raise _Odd("private")
    if jwk.get("use", "sig") != "sig":
        raise _Odd("use")
    key_ops = jwk.get("key_ops", ["verify"])
    if not isinstance(key_ops, list) or "verify" not in key_ops:
        raise _Odd("key_ops")


def _fitting(jwk: dict[str, Any]) -> frozenset[str]:
    kty, crv = jwk.get("kty"), jwk.get("crv")
    if kty == "RSA":
        return frozenset(_RSA)
    if kty not in {"EC", "OKP"}:
        raise _Odd("kty")
    of_curve = _BY_CURVE.get((str(kty), str(crv)))
    if of_curve is None:
        raise _Odd("curve")
    return frozenset({of_curve[0]})


def _rsa_bytes(public_key: Any, max_bits: int = MAX_RSA_BITS) -> int:
    numbers = public_key.public_numbers()
    if not MIN_RSA_BITS <= numbers.n.bit_length() <= max_bits:
        raise _Odd("rsa_size")
    # cryptography refuses e < 3 and an even e today; the contract names them, so it is written out.
    if numbers.e < MIN_RSA_EXPONENT or numbers.e % 2 == 0 or numbers.e.bit_length() > MAX_RSA_EXPONENT_BITS:
        raise _Odd("rsa_exponent")
    return int(numbers.n.bit_length() + 7) // 8


def _without_conflicts(keys: list[VerificationKey]) -> tuple[list[VerificationKey], int]:
    """Drop every key whose name another key of the same type bears too, and a repetition of the same key."""
    material: dict[tuple[str, str], set[str]] = {}
    for key in keys:
        if key.kid is not None:
            material.setdefault((key.kid, _kind(key)), set()).add(key.thumbprint)
    kept: dict[tuple[str | None, str, frozenset[str]], VerificationKey] = {}
    conflicts = 0
    for key in keys:
        if key.kid is not None and len(material[key.kid, _kind(key)]) > 1:
            conflicts += 1
        else:
            kept.setdefault((key.kid, key.thumbprint, key.algorithms), key)
    return list(kept.values()), conflicts


def _kind(key: VerificationKey) -> str:
    return type(key._public_key).__name__  # noqa: SLF001 - the same room: PyJWT's class of key stands for its kty


def _by_name(keys: list[VerificationKey]) -> dict[tuple[str | None, str], VerificationKey]:
    named: dict[tuple[str | None, str], VerificationKey] = {}
    of_algorithm: dict[str, list[VerificationKey]] = {}
    for key in keys:
        for alg in key.algorithms:
            of_algorithm.setdefault(alg, []).append(key)
            if key.kid is not None:
                named.setdefault((key.kid, alg), key)
    # T10: a token without `kid` is accepted only while exactly one usable key for its algorithm is published.
    for alg, candidates in of_algorithm.items():
        if len(candidates) == 1:
            named[None, alg] = candidates[0]
    return named
