"""Say whose token this is: join header, keys, signature, claims and the cache of tokens verified before.

Takes   token: str, from anyone;  now: seconds since the epoch (UTC);  the proof that came with it, if one did
        policy, one KeySource for each of its issuers, a cache or None, the denylist, how proofs are checked or None
Gives   AccessToken
Raises  InvalidToken(reason), the first fault in the order of §2; Forbidden(CLIENT_REVOKED), which no token cures;
        KeysUnavailable, which is OUR fault (T27)
Not     scopes (scopes.py), where the token stood (bearer.py), what a good proof is (dpop/check.py)
Source  RFC 7515 §5.2; RFC 7519 §7.2; RFC 8725; RFC 9449 §7; docs/contracts/tokens.md T6 to T19, T24, V1 to V4

`iss` must be read before the signature to choose the keys, and the rest of the payload must not count before it.
The payload is therefore parsed once, and its faults are kept back until the signature is good. If it is so broken that
it has no `iss`, a single configured issuer is chosen all the same; among several nothing can be chosen, and
`malformed_claims` is the answer at once.
"""

import logging
from collections.abc import Mapping
from functools import lru_cache, partial
from hashlib import sha256

from app.oauth.access_token import AccessToken
from app.oauth.claims import NotYetValid, TokenPolicy, check, issuer_of, refuse_expired
from app.oauth.dpop.check import PresentedProof, ProofCheck
from app.oauth.errors import Forbidden, InvalidToken, KeysUnavailable
from app.oauth.header import Header, judge, parse
from app.oauth.keys.jwks import VerificationKey
from app.oauth.keys.source import KeySource
from app.oauth.reasons import Reason
from app.oauth.revocation.rules import NOTHING_REVOKED, DenylistSource, NothingRevoked
from app.oauth.strict_json import NotStrictJson, parse_object
from app.oauth.token_cache import CacheState, TokenCache, VerifiedToken

_log = logging.getLogger(__name__)

# What an entry weighs, rounded up from measurements: 3.0 KB for a token of 0.9 KB, 27 KB for one of 5.8 KB that
# consists of short members.
_BYTES_PER_TOKEN_BYTE = 6
_BYTES_PER_ENTRY = 2_048
# Keys and dialects in use at one time are few; whoever makes headers up only makes these forgotten.
_HEADERS_REMEMBERED = 64
_CLOCK_LINE_SECONDS = 60


class Verifier:
    """Verify tokens for one API; safe to share between threads."""

    def __init__(  # noqa: PLR0913 - one argument for each part that it joins
        self,
        policy: TokenPolicy,
        sources: Mapping[str, KeySource],
        cache: TokenCache | None = None,
        *,
        denylist: DenylistSource | None = None,
        proofs: ProofCheck | None = None,
        proof_required: bool = False,
    ) -> None:
        """Join a policy with the key source of each of its issuers; without a cache each token is verified anew.

        Without `proofs` no bound token is accepted; with `proof_required` no other one is.
        """
        if set(sources) != set(policy.issuers):
            raise ValueError("each issuer needs a key source")
        self._policy = policy
        self._sources = dict(sources)
        self._cache = cache
        self._denylist = denylist or NothingRevoked()
        self._proofs = proofs
        self._proof_required = proof_required
        self._clock_logged_at: dict[str, float] = {}
        # A tenant's tokens differ in everything but their header. No refusal is kept: lru_cache keeps no exception.
        self._judged = lru_cache(maxsize=_HEADERS_REMEMBERED)(partial(judge, policy=policy))

    def verify(self, token: str, *, now: float, proof: PresentedProof | None = None) -> AccessToken:
        """Return what the token says, once everything about it has been checked.

        Args:
            token: anything that stood where a token should.
            now: seconds since the epoch (UTC).
            proof: what came by the DPoP scheme; None by the Bearer scheme.
        """
        verified = self._known(token, now)
        access_token = verified.token
        denylist = self._denylist.current()
        if denylist is not NOTHING_REVOKED:
            refusal = denylist.refusal(access_token, verified.key)
            if refusal is not None:
                raise (Forbidden if refusal is Reason.CLIENT_REVOKED else InvalidToken)(refusal)
        if proof is not None or access_token.bound_to is not None or self._proof_required:
            self._require_possession(access_token, token, proof, now)
        return access_token

    def cache_state(self) -> CacheState:
        """Tell what the cache of tokens has done; of none, nothing."""
        return CacheState() if self._cache is None else self._cache.state()

    def _require_possession(
        self, access_token: AccessToken, token: str, proof: PresentedProof | None, now: float
    ) -> None:
        """Let a bound token pass with its proof only, and a proof with a bound token only (T19, P4)."""
        if proof is None or self._proofs is None:
            raise InvalidToken(Reason.PROOF_REQUIRED)
        if access_token.bound_to is None:
            # Where no other scheme is taken, there is no other one to send it by.
            raise InvalidToken(Reason.PROOF_REQUIRED if self._proof_required else Reason.TOKEN_NOT_BOUND)
        self._proofs.check(proof, token, access_token.bound_to, now=now)

    def _known(self, token: str, now: float) -> VerifiedToken:
        """Return what the cache remembers of the token, or verify it."""
        if self._cache is None:
            return self._verified(token, now)
        # NOTE: a str may hold half surrogates; what cannot be encoded cannot be in the cache either.
        digest = sha256(token.encode("utf-8", "surrogatepass")).digest()
        known = self._cache.get(digest)
        if known is not None:
            if self._is_held(known):
                refuse_expired(known.token.expires_at, self._policy, now)
                return known
            self._cache.forget(digest)
        verified = self._verified(token, now)
        # A token without `kid` is good only while its issuer publishes one key for it (T10): looked up each time.
        if verified.token.key_id is not None:
            self._cache.put(digest, verified)
        return verified

    def _is_held(self, known: VerifiedToken) -> bool:
        """Tell whether the key is still among the held ones; where none are held, the full way may fetch some."""
        try:
            return self._sources[known.token.issuer].current().holds(known.key)
        except KeysUnavailable:
            return False

    def _verified(self, token: str, now: float) -> VerifiedToken:
        header = parse(token, self._policy, self._judged)
        claims = None
        try:
            claims = parse_object(header.payload)
        except NotStrictJson:
            if len(self._policy.issuers) > 1:
                raise InvalidToken(Reason.MALFORMED_CLAIMS) from None
        issuer = self._policy.issuers[0] if claims is None else issuer_of(claims, self._policy)
        key = self._signing_key(header, issuer)
        if claims is None:
            raise InvalidToken(Reason.MALFORMED_CLAIMS)
        try:
            access_token = check(
                claims, self._policy, typ=header.typ, now=now, kid=header.kid, signing_input=header.signing_input
            )
        except NotYetValid as refusal:
            self._log_clock(issuer, refusal.ahead_seconds, now)
            raise
        return VerifiedToken(access_token, key, _BYTES_PER_ENTRY + _BYTES_PER_TOKEN_BYTE * len(token))

    def _log_clock(self, issuer: str, ahead_seconds: float, now: float) -> None:
        """Write that our clock is probably slow, once in a minute: every phone brings such a token then."""
        # The distance and not the order: the clock that is mended goes back, too. Two threads may both write, once.
        if abs(now - self._clock_logged_at.get(issuer, -_CLOCK_LINE_SECONDS)) < _CLOCK_LINE_SECONDS:
            return
        self._clock_logged_at[issuer] = now
        _log.warning(
            "A token of %s begins %.0f seconds in the future: the clock of this host is probably slow.",
            issuer,
            ahead_seconds,
        )

    def _signing_key(self, header: Header, issuer: str) -> VerificationKey:
        key = self._sources[issuer].find(header.kid, header.alg)
        if self._denylist.current().distrusts(key):
            # Before the signature: whoever holds a stolen key can make any number of good ones (K11).
            raise InvalidToken(Reason.KEY_DISTRUSTED)
        if not key.verify(header.alg, header.signing_input, header.signature):
            raise InvalidToken(Reason.BAD_SIGNATURE)
        return key
