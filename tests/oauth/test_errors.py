"""The table of codes: every row as the contract writes it."""

import re

import pytest

from app.oauth.errors import Forbidden, InsufficientScope, InvalidToken, KeysUnavailable, Refused
from app.oauth.reasons import Action, Reason

# RFC 6750 §3: what error_description may hold.
DESCRIPTION = re.compile(r"[\x20-\x21\x23-\x5B\x5D-\x7E]+")

TABLE = {
    (401, None, Action.SEND_TOKEN): {"no_credentials"},
    (400, "invalid_request", Action.FIX_CLIENT): {"malformed_authorization", "token_too_large"},
    (401, "invalid_token", Action.FIX_CLIENT): {
        "opaque_token",
        "encrypted_token",
        "malformed_token",
        "algorithm_refused",
        "wrong_type",
        "id_token_used",
        "wrong_issuer",
        "wrong_audience",
        "malformed_claims",
        "missing_claim",
        "proof_required",
        "token_not_bound",
    },
    (401, "invalid_dpop_proof", Action.FIX_CLIENT): {"invalid_dpop_proof"},
    (401, "use_dpop_nonce", Action.RETRY_NOW): {"use_dpop_nonce"},
    (401, "invalid_token", Action.REFRESH): {"token_expired", "unknown_key", "bad_signature", "key_distrusted"},
    (401, "invalid_token", Action.REAUTHENTICATE): {"token_revoked"},
    (401, "invalid_token", Action.RETRY_LATER): {"token_not_yet_valid"},
    (401, "insufficient_user_authentication", Action.STEP_UP): {"step_up_required"},
    (403, "insufficient_scope", Action.REQUEST_SCOPE): {"insufficient_scope"},
    (403, None, Action.FIX_CLIENT): {"user_required"},
    (403, None, Action.ASK_OPERATOR): {"permission_required", "client_revoked"},
    (503, None, Action.RETRY_LATER): {"keys_unavailable"},
}


def test_reasons_are_the_rows_of_the_contract():
    """§6: | code | status | error | action |."""
    rows: dict[tuple[int, str | None, Action], set[str]] = {}
    for reason in Reason:
        rows.setdefault((reason.status, reason.error, reason.action), set()).add(reason.code)

    assert rows == TABLE


def test_actions_are_those_of_the_contract():
    """T25: `action` is one of send_token | refresh | reauthenticate | request_scope | step_up | fix_client | …"""
    codes = (
        "send_token refresh reauthenticate request_scope step_up fix_client ask_operator retry_now retry_later resync"
    )
    assert set(Action) == set(codes.split())


@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.code)
def test_detail_when_put_into_a_challenge_fits_its_character_set(reason: Reason):
    """RFC 6750 §3: error_description MUST NOT include characters outside %x20-21 / %x23-5B / %x5D-7E."""
    assert DESCRIPTION.fullmatch(reason.detail)
    assert DESCRIPTION.fullmatch(reason.title)
    assert reason.detail.endswith(".")


def test_reason_found_by_its_code():
    assert Reason("token_expired") is Reason.TOKEN_EXPIRED


def test_texts_are_all_different():
    """T28: A refusal says what to do; one text for two faults would say it of the wrong one."""
    assert len({reason.detail for reason in Reason}) == len(Reason)
    assert len({reason.title for reason in Reason}) == len(Reason)


def test_opaque_token_hints_at_the_audience():
    """T6: `opaque_token`, with the hint "request audience=…"."""
    assert "request audience=" in Reason.OPAQUE_TOKEN.detail


def test_only_time_refusals_tell_the_time():
    """T28: Failures of `exp`/`nbf`/`iat` also tell `server_time`; a DPoP proof has an `iat`, too."""
    assert {reason.code for reason in Reason if reason.tells_time} == {
        "token_expired",
        "token_not_yet_valid",
        "invalid_dpop_proof",
    }


def test_retryable_is_401_503_and_the_scope():
    """T25: `retryable`: … once `action` is done (401, 403 `insufficient_scope`, 409, 429, 503)."""
    assert {reason.code for reason in Reason if not reason.retryable} == {
        "malformed_authorization",
        "token_too_large",
        "user_required",
        "permission_required",
        "client_revoked",
    }


def test_challenge_goes_with_401_with_the_scope_and_with_the_two_400s():
    """T26: Every 401, 403 `insufficient_scope` and 400 … carries `WWW-Authenticate`. No other answer carries one."""
    assert {reason.code for reason in Reason if not reason.carries_challenge} == {
        "user_required",
        "permission_required",
        "client_revoked",
        "keys_unavailable",
    }


def test_refusals_carry_their_reason():
    assert InvalidToken(Reason.WRONG_ISSUER).reason is Reason.WRONG_ISSUER
    assert Forbidden(Reason.USER_REQUIRED).reason is Reason.USER_REQUIRED
    lacking = InsufficientScope(("read:profile",))
    assert (lacking.reason, lacking.required) == (Reason.INSUFFICIENT_SCOPE, ("read:profile",))
    assert all(issubclass(refusal, Refused) for refusal in (InvalidToken, Forbidden, InsufficientScope))


def test_keys_unavailable_is_no_refusal():
    """T27: Our fault is never the user's."""
    outage = KeysUnavailable(7)
    assert (outage.retry_after_seconds, outage.reason) == (7, Reason.KEYS_UNAVAILABLE)
    assert not isinstance(outage, Refused)


def test_refusals_say_their_code():
    """An exception that is logged somewhere says which refusal it is, and nothing of the token."""
    assert str(InvalidToken(Reason.WRONG_ISSUER)) == "wrong_issuer"
    assert str(KeysUnavailable(7)) == "keys_unavailable"
