"""The token core alone: what a known token, a first sight and a bare RS256 check cost, side by side.

Takes   Credentials
Gives   InProcess: medians in microseconds of processor time
Raises  InvalidToken if the tokens are not good
Not     HTTP, Flask, the log (rounds.py measures these together)

Each round times the three in turn, in the same thread; the reference is `cryptography` itself, with the key ready and
the token already cut and decoded: nothing that verifies RS256 can be cheaper.
"""

import base64
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from app.oauth.bearer import token_from_header
from app.oauth.claims import TokenPolicy
from app.oauth.errors import InvalidToken
from app.oauth.keys.jwks import parse_key_set
from app.oauth.keys.source import StaticKeySource
from app.oauth.reasons import Reason
from app.oauth.token_cache import TokenCache
from app.oauth.verifier import Verifier
from benchmarks.credentials import AUDIENCE, ISSUER, Credentials
from benchmarks.figures import median_ratio

_POLICY = TokenPolicy(issuers=(ISSUER,), audiences=frozenset({AUDIENCE}))
_CACHE_ENTRIES, _CACHE_BYTES = 10_000, 80 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class InProcess:
    """Microseconds of processor time for each token."""

    known: float
    first_sight: float
    raw: float
    first_sight_ratio: float
    """Median of the rounds' ratios of a first sight to the raw check."""


def measure(credentials: Credentials, rounds: int, tokens_per_round: int) -> InProcess:
    """Time the three in turn, each over the same tokens."""
    fields = [f"Bearer {token}" for token in credentials.tokens[:tokens_per_round]]
    known, first, raw = [], [], []
    check = _raw_check(credentials)
    cut = [_cut(token) for token in credentials.tokens[:tokens_per_round]]
    for _ in range(rounds):
        verify = _verification(credentials, fields)
        raw.append(_microseconds(lambda: [check(*one) for one in cut], len(cut)))
        # The cache is new: the same work is a first sight once, and then a known token.
        first.append(_microseconds(verify, len(fields)))
        known.append(_microseconds(verify, len(fields)))
    return InProcess(median(known), median(first), median(raw), median_ratio(first, raw))


def _verification(credentials: Credentials, fields: list[str]) -> Callable[[], None]:
    """The work from Authorization fields to AccessTokens, as app/web/auth.py does it, with a cache of its own."""
    keys = parse_key_set(json.dumps(credentials.key_set).encode(), _POLICY.algorithms)
    verifier = Verifier(_POLICY, {ISSUER: StaticKeySource(ISSUER, keys)}, TokenCache(_CACHE_ENTRIES, _CACHE_BYTES))

    def verify() -> None:
        for field in fields:
            token = token_from_header(field, _POLICY.max_token_bytes)
            if token is None:
                raise InvalidToken(Reason.NO_CREDENTIALS)
            verifier.verify(token, now=time.time())

    return verify


def _raw_check(credentials: Credentials) -> Callable[[bytes, bytes], None]:
    jwk = credentials.key_set["keys"][0]
    numbers = rsa.RSAPublicNumbers(_integer(jwk["e"]), _integer(jwk["n"]))
    key, scheme, digest = numbers.public_key(), padding.PKCS1v15(), SHA256()
    return lambda signature, signed: key.verify(signature, signed, scheme, digest)


def _cut(token: str) -> tuple[bytes, bytes]:
    signed, _, signature = token.rpartition(".")
    return _bytes(signature), signed.encode()


def _microseconds(work: Callable[[], object], count: int) -> float:
    started = time.thread_time_ns()
    work()
    return (time.thread_time_ns() - started) / count / 1000


def _integer(text: str) -> int:
    return int.from_bytes(_bytes(text))


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
