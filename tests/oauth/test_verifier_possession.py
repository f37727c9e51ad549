"""A bound token with its proof, and nothing else: T19, P4, V2."""

import pytest

from app.oauth.claims import TokenPolicy
from app.oauth.dpop.check import DpopProofs, PresentedProof
from app.oauth.dpop.faults import Fault, InvalidProof
from app.oauth.errors import InvalidToken
from app.oauth.keys.jwks import parse_key_set
from app.oauth.keys.source import StaticKeySource
from app.oauth.reasons import Reason
from app.oauth.token_cache import TokenCache
from app.oauth.verifier import Verifier
from tests.support.proofs import APP_KEY, OTHER_KEY, ProofsInMemory, Request, bound_token
from tests.support.tokens import AUDIENCE, ISSUER, NOW, key_set, mint, rsa_key

BOUND, UNBOUND = bound_token(), mint(rsa_key())


def verifier(mode: str, *, cache: TokenCache | None = None) -> Verifier:
    policy = TokenPolicy(issuers=(ISSUER,), audiences=frozenset({AUDIENCE}))
    sources = {ISSUER: StaticKeySource(ISSUER, parse_key_set(key_set(rsa_key()), ("RS256",)))}
    proofs = None if mode == "off" else DpopProofs(ProofsInMemory())
    return Verifier(policy, sources, cache, proofs=proofs, proof_required=mode == "required")


def presented(token: str, **changes: object) -> PresentedProof:
    request = Request(token)
    return PresentedProof(request.proof(claims=changes), request.method, request.url)


def reason_of(mode: str, token: str, proof: PresentedProof | None) -> Reason:
    with pytest.raises(InvalidToken) as refused:
        verifier(mode).verify(token, now=NOW, proof=proof)
    return refused.value.reason


@pytest.mark.parametrize("mode", ["off", "allowed", "required"])
def test_bound_token_when_sent_as_bearer_then_refused_in_every_mode(mode: str):
    """P4: A bound token sent as Bearer is refused in every mode, `off` too; RFC 9449 §7.2: downgraded usage."""
    assert reason_of(mode, BOUND, None) is Reason.PROOF_REQUIRED


@pytest.mark.parametrize("mode", ["allowed", "required"])
def test_bound_token_when_its_proof_comes_with_it_then_accepted(mode: str):
    """T19: `cnf.jkt` demands the `DPoP` scheme and a proof."""
    token = verifier(mode).verify(BOUND, now=NOW, proof=presented(BOUND))
    assert token.bound_to == APP_KEY.thumbprint()


def test_unbound_token_when_sent_by_dpop_then_not_bound():
    """P4: the `DPoP` scheme with an unbound token is `invalid_token`."""
    assert reason_of("allowed", UNBOUND, presented(UNBOUND)) is Reason.TOKEN_NOT_BOUND
    assert Reason.TOKEN_NOT_BOUND.error == "invalid_token"


def test_unbound_token_when_only_bound_ones_are_taken_then_the_same_by_either_scheme():
    """P4: `required`: an unbound token is proof_required. It was told to use Bearer by DPoP, and DPoP by Bearer."""
    assert reason_of("required", UNBOUND, presented(UNBOUND)) is Reason.PROOF_REQUIRED
    assert reason_of("required", UNBOUND, None) is Reason.PROOF_REQUIRED


def test_unbound_token_when_proofs_are_required_then_refused_and_otherwise_accepted():
    """P4: `required`: an unbound Bearer token is `proof_required`."""
    assert reason_of("required", UNBOUND, None) is Reason.PROOF_REQUIRED
    assert verifier("allowed").verify(UNBOUND, now=NOW).bound_to is None
    assert verifier("off").verify(UNBOUND, now=NOW).bound_to is None


def test_bound_token_when_nothing_checks_proofs_then_refused():
    """T19: A token with a `cnf` that this API cannot check is refused, never treated as plain bearer."""
    assert reason_of("off", BOUND, presented(BOUND)) is Reason.PROOF_REQUIRED


@pytest.mark.parametrize(
    "cnf", [{"x5t#S256": "a" * 43}, {"jkt": "a" * 43, "x5t#S256": "a" * 43}, {"jkt": "a"}, {}, [], "x"]
)
def test_token_when_its_cnf_is_none_of_ours_then_refused_with_a_proof_too(cnf: object):
    """T19: never treated as plain bearer."""
    token = mint(rsa_key(), None, {"cnf": cnf})
    for proof in (None, presented(token)):
        assert reason_of("allowed", token, proof) is Reason.PROOF_REQUIRED


def test_bound_token_when_the_proof_is_by_another_key_then_refused():
    """RFC 9449 §7.1: whoever has stolen the token has not the key."""
    thief = Request(BOUND).proof(OTHER_KEY)
    with pytest.raises(InvalidProof) as refused:
        verifier("allowed").verify(BOUND, now=NOW, proof=PresentedProof(thief, "GET", Request(BOUND).url))
    assert refused.value.fault is Fault.OTHER_KEY


def test_bound_token_when_remembered_then_each_request_needs_a_fresh_proof():
    """V2: Each request still checks, for a bound token, a fresh DPoP proof."""
    checks = verifier("allowed", cache=TokenCache(10, 1_000_000))
    used = presented(BOUND)
    checks.verify(BOUND, now=NOW, proof=used)
    checks.verify(BOUND, now=NOW, proof=presented(BOUND))
    with pytest.raises(InvalidProof) as refused:
        checks.verify(BOUND, now=NOW, proof=used)
    assert refused.value.fault is Fault.USED
    with pytest.raises(InvalidToken) as bare:
        checks.verify(BOUND, now=NOW)
    assert bare.value.reason is Reason.PROOF_REQUIRED


def test_token_when_it_is_bad_itself_then_the_proof_is_not_looked_at():
    """§2: the order of faults: the proof comes last of all, so nobody fills the store with bad tokens."""
    expired = bound_token(exp=NOW - 3600)
    assert reason_of("allowed", expired, PresentedProof("nonsense", "GET", Request(BOUND).url)) is Reason.TOKEN_EXPIRED
