"""What came with a token by the DPoP scheme, and what checks it.

Takes   PresentedProof; where used proofs are remembered; nonces, if they are demanded
Gives   ProofCheck, the Protocol that the verifier asks, and DpopProofs, which fulfils it; ProofStore, for app/stores
Raises  InvalidProof(fault), InvalidToken(USE_DPOP_NONCE); TooManyProofs; ProofsUnavailable, which is OUR fault
Not     the token (verifier.py), how a proof is read (proof.py)
Source  RFC 9449 §4.3, §7.1, §9, §11.1; docs/contracts/tokens.md P1 to P4

Cheapest first. The claims are compared before the signature is checked, because it costs ten times as much; nothing
passes without it, and only a proof that is good in everything else takes room in the store.
"""

from base64 import urlsafe_b64encode
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from math import ceil
from typing import Any, Final, Protocol

from app.oauth.dpop.faults import Fault, InvalidProof
from app.oauth.dpop.nonces import Nonces
from app.oauth.dpop.proof import read, read_header
from app.oauth.dpop.url import normalised
from app.oauth.errors import InvalidToken
from app.oauth.reasons import Reason

MAX_AGE_SECONDS: Final = 60
MAX_AHEAD_SECONDS: Final = 30
# How much longer than it is good a proof is remembered: another host, whose clock is slow, takes it for that long.
CLOCK_MARGIN_SECONDS: Final = 30
_MAX_PROOF_ID_LENGTH: Final = 255
# The end of the year 9999, as for tokens: no sum with it leaves the numbers that a store holds.
_LAST_SECOND: Final = 253_402_300_799
# An app's header is about 300 bytes and never changes; 1024 of them are 0.5 MB, at most 8 MB if made up.
_HEADERS_REMEMBERED: Final = 1024


@dataclass(frozen=True, slots=True)
class PresentedProof:
    """One request by the DPoP scheme: the DPoP field as WSGI gives it, and what the proof has to be made for."""

    field: str | None
    """Repeated fields are joined by a comma; None if there is none."""
    method: str
    url: str
    """Where apps know the resource, as dpop_url.of_request writes it: PUBLIC_URL and the path."""


class ProofCheck(Protocol):
    """Checks one proof."""

    def check(self, proof: PresentedProof, token: str, bound_to: str, *, now: float) -> None:
        """Return if the proof is good, made for this token, and here for the first time; otherwise raise."""
        ...


class ProofStore(Protocol):
    """Remembers used proofs for all workers and hosts."""

    def remember(self, jkt: str, jti_digest: str, *, expires_at: int, now: float) -> bool:
        """Tell whether this proof is new, and remember it: of all callers, everywhere, one is told True.

        Args:
            jkt: the thumbprint of the proving key.
            jti_digest: the SHA-256 of the proof's `jti`, in base64url: what is kept has one size and one alphabet.
            expires_at: seconds since the epoch (UTC) after which it may be forgotten.
            now: seconds since the epoch (UTC).

        Raises:
            TooManyProofs: of this key, as many as are remembered of one are live.
            ProofsUnavailable: the store is down, or full.
        """
        ...


class DpopProofs:
    """Check proofs for one API; safe to share between threads."""

    def __init__(self, store: ProofStore, nonces: Nonces | None = None) -> None:
        """Take the store; with `nonces`, every proof must hold one of them."""
        self._store = store
        self._nonces = nonces
        # A known app costs one signature and one write. No refusal is kept: lru_cache keeps no exception.
        self._header = lru_cache(maxsize=_HEADERS_REMEMBERED)(read_header)

    def check(self, proof: PresentedProof, token: str, bound_to: str, *, now: float) -> None:
        """Return if the proof is good, made for this token, and here for the first time; otherwise raise."""
        signed = read(proof.field, self._header)
        if signed.key.thumbprint != bound_to:
            raise InvalidProof(Fault.OTHER_KEY)
        _refuse_other_request(signed.claims, proof, token)
        good_until = self._good_until(signed.claims, now)
        proof_id = signed.claims.get("jti")
        if type(proof_id) is not str or not 0 < len(proof_id) <= _MAX_PROOF_ID_LENGTH or not proof_id.isprintable():
            raise InvalidProof(Fault.PROOF_ID)
        if not signed.is_signed():
            raise InvalidProof(Fault.SIGNATURE)
        expires_at = good_until + CLOCK_MARGIN_SECONDS
        if not self._store.remember(bound_to, _digest(proof_id.encode()), expires_at=expires_at, now=now):
            raise InvalidProof(Fault.USED)

    def _good_until(self, claims: dict[str, Any], now: float) -> int:
        """Return the second after which this proof would be refused for its age; refuse it if that has come.

        NOTE: with a nonce of ours, `iat` has to be a number and no more (RFC 9449 §11.1): the nonce says when the proof
        was made, and by our clock. Phones whose clock is wrong are let in by DPOP_NONCE=required.
        """
        issued_at: Any = claims.get("iat")
        if type(issued_at) not in (int, float) or not -_LAST_SECOND <= issued_at <= _LAST_SECOND:
            raise InvalidProof(Fault.CLAIMS)
        if self._nonces is not None:
            nonce = claims.get("nonce")
            until = self._nonces.good_until(nonce, now) if type(nonce) is str else None
            if until is None:
                raise InvalidToken(Reason.USE_DPOP_NONCE)
            return until
        if issued_at < now - MAX_AGE_SECONDS:
            raise InvalidProof(Fault.TOO_OLD)
        if issued_at > now + MAX_AHEAD_SECONDS:
            raise InvalidProof(Fault.TOO_EARLY)
        last_second: int = ceil(issued_at) + MAX_AGE_SECONDS
        return last_second


def _refuse_other_request(claims: dict[str, Any], proof: PresentedProof, token: str) -> None:
    """Demand that the proof was made for this method, this URL and this token."""
    method, url, token_hash = claims.get("htm"), claims.get("htu"), claims.get("ath")
    if type(method) is not str or type(url) is not str or type(token_hash) is not str:
        raise InvalidProof(Fault.CLAIMS)
    if method != proof.method:
        raise InvalidProof(Fault.METHOD)
    # Most apps write it as we do.
    if url != proof.url and normalised(url) != proof.url:
        raise InvalidProof(Fault.URL)
    if token_hash != _digest(token.encode("utf-8", "surrogatepass")):
        raise InvalidProof(Fault.OTHER_TOKEN)


def _digest(content: bytes) -> str:
    return urlsafe_b64encode(sha256(content).digest()).rstrip(b"=").decode()
