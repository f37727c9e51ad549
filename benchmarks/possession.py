"""What a bound token costs beyond a bearer token: its proof's signature, one write to the store, and how much else.

Takes   a folder for a database
Gives   Possession: medians in microseconds of processor time
Raises  InvalidToken if a token or a proof is not good
Not     HTTP, Flask, the log (rounds.py); stores behind a network, whose cost is their round trip

Both tokens are known, so neither costs a check of the tenant's signature. The proofs are ES256, as phones make them
in their secure hardware; each is a new one, under the same header.
"""

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc.jwk import import_key

from app.commands.db import upgrade
from app.db import Database
from app.oauth.claims import TokenPolicy
from app.oauth.dpop.check import DpopProofs, PresentedProof
from app.oauth.keys.jwks import parse_key_set
from app.oauth.keys.source import StaticKeySource
from app.oauth.token_cache import TokenCache
from app.oauth.verifier import Verifier
from app.stores.proofs_database import DatabaseProofStore
from benchmarks.credentials import AUDIENCE, ISSUER

_URL = "https://api.example/v1/me"
_HALF = 32


@dataclass(frozen=True, slots=True)
class Possession:
    """Microseconds of processor time for each request."""

    bearer: float
    bound: float
    """With its proof, and a store that forgets: everything but the write."""
    raw_signature: float
    """`cryptography` alone: ES256, key ready."""
    write: float
    """One proof of one of many apps remembered in SQLite, and on the disk."""

    @property
    def remainder(self) -> float:
        """What a bound token costs beyond a bearer token, the signature and the write."""
        return self.bound - self.bearer - self.raw_signature


class _Forgetful:
    """A store that is always told something new."""

    def remember(self, jkt: str, jti_digest: str, *, expires_at: int, now: float) -> bool:  # noqa: ARG002
        return True


def measure(directory: Path, rounds: int, requests_per_round: int) -> Possession:
    """Time the four in turn."""
    private_key, app_key = rsa.generate_private_key(65_537, 2048), ec.generate_private_key(ec.SECP256R1())
    app_jwk = jwt.algorithms.ECAlgorithm.to_jwk(app_key.public_key(), as_dict=True)
    jkt = import_key(app_jwk).thumbprint()
    now = int(time.time())
    plain, bound = _token(private_key, now, {}), _token(private_key, now, {"cnf": {"jkt": jkt}})
    proofs = [_proof(app_key, app_jwk, bound, now) for _ in range(requests_per_round)]
    verifier = _verifier(private_key)
    store = _store(directory)
    figures: tuple[list[float], ...] = ([], [], [], [])
    for _ in range(rounds):
        digests = [secrets.token_urlsafe(32)[:43] for _ in proofs]
        work: tuple[Callable[[], object], ...] = (
            lambda: [verifier.verify(plain, now=now) for _ in proofs],
            lambda: [verifier.verify(bound, now=now, proof=PresentedProof(one, "GET", _URL)) for one in proofs],
            _raw_checks(app_key, proofs),
            lambda known=digests: [  # type: ignore[misc]  # bound now, called in this round
                store.remember(digest, digest, expires_at=now + 90, now=now) for digest in known
            ],
        )
        for times, one in zip(figures, work, strict=True):
            started = time.thread_time_ns()
            one()
            times.append((time.thread_time_ns() - started) / len(proofs) / 1000)
    return Possession(*(median(times) for times in figures))


def _verifier(private_key: rsa.RSAPrivateKey) -> Verifier:
    jwk = jwt.algorithms.RSAAlgorithm.to_jwk(private_key.public_key(), as_dict=True) | {"kid": "bench", "alg": "RS256"}
    keys = parse_key_set(json.dumps({"keys": [_public(jwk)]}).encode(), ("RS256",))
    policy = TokenPolicy(issuers=(ISSUER,), audiences=frozenset({AUDIENCE}))
    source, cache = StaticKeySource(ISSUER, keys), TokenCache(100, 1_000_000)
    return Verifier(policy, {ISSUER: source}, cache, proofs=DpopProofs(_Forgetful()))


def _store(directory: Path) -> DatabaseProofStore:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"proofs-{secrets.token_hex(4)}.db"
    upgrade(f"sqlite:///{path}")
    return DatabaseProofStore(Database(f"sqlite:///{path}"))


def _token(private_key: rsa.RSAPrivateKey, now: int, claims: dict[str, Any]) -> str:
    content = {"iss": ISSUER, "sub": "auth0|1", "aud": AUDIENCE, "iat": now, "exp": now + 3600, "azp": "app", **claims}
    return jwt.encode(content, private_key, "RS256", {"kid": "bench"})


def _proof(app_key: ec.EllipticCurvePrivateKey, jwk: dict[str, Any], token: str, now: int) -> str:
    token_hash = jwt.utils.base64url_encode(sha256(token.encode()).digest()).decode()
    claims = {"jti": secrets.token_urlsafe(16), "htm": "GET", "htu": _URL, "iat": now, "ath": token_hash}
    return jwt.encode(claims, app_key, "ES256", {"typ": "dpop+jwt", "jwk": _public(jwk)})


def _public(jwk: dict[str, Any]) -> dict[str, Any]:
    return {name: jwk[name] for name in jwk if name != "key_ops"}


def _raw_checks(app_key: ec.EllipticCurvePrivateKey, proofs: list[str]) -> Callable[[], None]:
    """The same signatures, cut and decoded beforehand."""
    key, scheme, cut = app_key.public_key(), ec.ECDSA(SHA256()), []
    for proof in proofs:
        signed, _, signature = proof.rpartition(".")
        raw = jwt.utils.base64url_decode(signature)
        halves = int.from_bytes(raw[:_HALF]), int.from_bytes(raw[_HALF:])
        cut.append((encode_dss_signature(*halves), signed.encode()))

    def check() -> None:
        for signature, signed in cut:
            key.verify(signature, signed, scheme)

    return check
