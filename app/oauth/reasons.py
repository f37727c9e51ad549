"""Every reason why a token is refused: a stable code with its status, its action and its fixed texts.

Takes   nothing: every text below is fixed
Gives   Reason, one member for each code of the token contract;  Action
Raises  nothing
Not     the exceptions that carry a Reason (errors.py), the WWW-Authenticate value (challenge.py), the problem document
Source  RFC 6750 §3.1; RFC 9449 §7.1; RFC 9470 §3; docs/contracts/tokens.md §6
"""

from enum import Enum, StrEnum
from typing import Any, Self

_UNAUTHORIZED = 401
_UNAVAILABLE = 503


class Action(StrEnum):
    """What the app should do about a refusal (T25)."""

    SEND_TOKEN = "send_token"  # noqa: S105 - the name of an action, no password
    REFRESH = "refresh"
    REAUTHENTICATE = "reauthenticate"
    REQUEST_SCOPE = "request_scope"
    STEP_UP = "step_up"
    FIX_CLIENT = "fix_client"
    ASK_OPERATOR = "ask_operator"
    RETRY_NOW = "retry_now"
    RETRY_LATER = "retry_later"
    RESYNC = "resync"


class Reason(Enum):
    """One code of the table: (code, status, RFC 6750 error, action, title, detail).

    The details go into `error_description` as they stand, so they keep to its character set: no quote, no backslash.
    """

    code: str
    status: int
    error: str | None
    action: Action
    title: str
    detail: str

    def __new__(cls, code: str, *row: Any) -> Self:
        """Make the code the member's value and the rest its attributes."""
        member = object.__new__(cls)
        member._value_ = member.code = code
        member.status, member.error, member.action, member.title, member.detail = row
        return member

    NO_CREDENTIALS = (
        "no_credentials",
        401,
        None,
        Action.SEND_TOKEN,
        "An access token is needed",
        "Send the access token in the header: Authorization: Bearer <access token>.",
    )
    MALFORMED_AUTHORIZATION = (
        "malformed_authorization",
        400,
        "invalid_request",
        Action.FIX_CLIENT,
        "The Authorization header is malformed",
        "Send one Authorization header that holds Bearer (or DPoP), a space and one access token, and nothing else.",
    )
    TOKEN_TOO_LARGE = (
        "token_too_large",
        400,
        "invalid_request",
        Action.FIX_CLIENT,
        "The access token is too large",
        "The access token is longer than this API accepts: put fewer claims into it at the tenant.",
    )
    OPAQUE_TOKEN = (
        "opaque_token",
        401,
        "invalid_token",
        Action.FIX_CLIENT,
        "The access token is opaque",
        "This access token is not meant for an API: request audience=<identifier of this API> to get a JWT for it.",
    )
    ENCRYPTED_TOKEN = (
        "encrypted_token",
        401,
        "invalid_token",
        Action.FIX_CLIENT,
        "The access token is encrypted",
        "This API reads signed tokens only: turn token encryption off for this API at the tenant.",
    )
    MALFORMED_TOKEN = (
        "malformed_token",
        401,
        "invalid_token",
        Action.FIX_CLIENT,
        "The access token is malformed",
        "The token is not a signed JWT as the tenant issues it: send the access token unchanged and whole.",
    )
    ALGORITHM_REFUSED = (
        "algorithm_refused",
        401,
        "invalid_token",
        Action.FIX_CLIENT,
        "The signature algorithm is not accepted",
        "This API does not accept the alg of the token: set its signing algorithm to RS256 at the tenant.",
    )
    WRONG_TYPE = (
        "wrong_type",
        401,
        "invalid_token",
        Action.FIX_CLIENT,
        "The token is of another type",
        "The token is a JWT but no access token: send the access_token of the tenant's token response.",
    )
    ID_TOKEN_USED = (
        "id_token_used",
        401,
        "invalid_token",
        Action.FIX_CLIENT,
        "An ID token was sent",
        "This is an ID token, which is for the app alone: send the access_token of the same token response.",
    )
    WRONG_ISSUER = (
        "wrong_issuer",
        401,
        "invalid_token",
        Action.FIX_CLIENT,
        "The token is from another issuer",
        "The iss of the token is not the tenant of this API, character for character: log in at that tenant.",
    )
    WRONG_AUDIENCE = (
        "wrong_audience",
        401,
        "invalid_token",
        Action.FIX_CLIENT,
        "The token is for another API",
        "The aud of the token does not name this API: request audience=<identifier of this API> when logging in.",
    )
    MALFORMED_CLAIMS = (
        "malformed_claims",
        401,
        "invalid_token",
        Action.FIX_CLIENT,
        "The token's claims are malformed",
        "A claim of the token has the wrong type or form: look at the tenant's rules and actions that add claims.",
    )
    MISSING_CLAIM = (
        "missing_claim",
        401,
        "invalid_token",
        Action.FIX_CLIENT,
        "A claim is missing",
        "An access token needs iss, sub, aud and exp, and under the rfc9068 profile client_id, iat and jti too.",
    )
    TOKEN_EXPIRED = (
        "token_expired",
        401,
        "invalid_token",
        Action.REFRESH,
        "The access token has expired",
        "Get a new access token with the refresh token, and compare the clock of the device with server_time.",
    )
    UNKNOWN_KEY = (
        "unknown_key",
        401,
        "invalid_token",
        Action.REFRESH,
        "The signing key is unknown",
        "The tenant does not publish the key that signed this token: get a new access token with the refresh token.",
    )
    BAD_SIGNATURE = (
        "bad_signature",
        401,
        "invalid_token",
        Action.REFRESH,
        "The signature is wrong",
        "The signature does not match the token: get a new access token with the refresh token and send it unchanged.",
    )
    TOKEN_NOT_YET_VALID = (
        "token_not_yet_valid",
        401,
        "invalid_token",
        Action.RETRY_LATER,
        "The access token is not valid yet",
        "The token begins in the future of this server's clock, which server_time tells: try again a little later.",
    )
    KEY_DISTRUSTED = (
        "key_distrusted",
        401,
        "invalid_token",
        Action.REFRESH,
        "The signing key is trusted no more",
        "The operator has withdrawn the key that signed this token: get a new access token with the refresh token.",
    )
    TOKEN_REVOKED = (
        "token_revoked",
        401,
        "invalid_token",
        Action.REAUTHENTICATE,
        "The access token is revoked",
        "The operator has revoked this token, or all of its user until now: let the user log in again.",
    )
    PROOF_REQUIRED = (
        "proof_required",
        401,
        "invalid_token",
        Action.FIX_CLIENT,
        "A proof of possession is needed",
        "Let the tenant bind the token to a key of the app (cnf.jkt), and send it by the DPoP scheme with a proof.",
    )
    TOKEN_NOT_BOUND = (
        "token_not_bound",
        401,
        "invalid_token",
        Action.FIX_CLIENT,
        "The token is not bound to a key",
        "The DPoP scheme is for tokens with cnf.jkt: let the tenant bind the token, or send it by the Bearer scheme.",
    )
    INVALID_DPOP_PROOF = (
        "invalid_dpop_proof",
        401,
        "invalid_dpop_proof",
        Action.FIX_CLIENT,
        "The DPoP proof is not acceptable",
        "Make a new proof for each request: a signed JWT for this method, this URL and this token, and used once.",
    )
    USE_DPOP_NONCE = (
        "use_dpop_nonce",
        401,
        "use_dpop_nonce",
        Action.RETRY_NOW,
        "The DPoP proof needs the server's nonce",
        "Put the value of the DPoP-Nonce field of this answer into the nonce of a new proof and send it again.",
    )
    STEP_UP_REQUIRED = (
        "step_up_required",
        401,
        "insufficient_user_authentication",
        Action.STEP_UP,
        "A more recent or stronger login is needed",
        "Let the user log in again with the max_age or acr_values of this challenge.",
    )
    INSUFFICIENT_SCOPE = (
        "insufficient_scope",
        403,
        "insufficient_scope",
        Action.REQUEST_SCOPE,
        "The token lacks a scope",
        "Request the scope that this challenge names, and let the user agree to it.",
    )
    USER_REQUIRED = (
        "user_required",
        403,
        None,
        Action.FIX_CLIENT,
        "A user's token is needed",
        "This is a user's data, and the token speaks for no user: log a user in with the authorization code flow.",
    )
    PERMISSION_REQUIRED = (
        "permission_required",
        403,
        None,
        Action.ASK_OPERATOR,
        "The user lacks a permission",
        "The user has no permission for this: ask the operator of this API to assign it.",
    )
    CLIENT_REVOKED = (
        "client_revoked",
        403,
        None,
        Action.ASK_OPERATOR,
        "The app is withdrawn",
        "The operator of this API has withdrawn this app: logging in again does not help, ask the operator.",
    )
    KEYS_UNAVAILABLE = (
        "keys_unavailable",
        503,
        None,
        Action.RETRY_LATER,
        "Tokens cannot be checked at the moment",
        "The fault is on this side and says nothing about the token: keep the user logged in and try again later.",
    )

    @property
    def tells_time(self) -> bool:
        """Whether the answer tells `server_time` (T28)."""
        return self in (Reason.TOKEN_EXPIRED, Reason.TOKEN_NOT_YET_VALID, Reason.INVALID_DPOP_PROOF)

    @property
    def carries_challenge(self) -> bool:
        """Whether the answer carries WWW-Authenticate: 401s, the 400s about the header, `insufficient_scope` (T26)."""
        return self.error is not None or self is Reason.NO_CREDENTIALS

    @property
    def retryable(self) -> bool:
        """Whether the same body can succeed once `action` is done (T25)."""
        return self.status in (_UNAUTHORIZED, _UNAVAILABLE) or self is Reason.INSUFFICIENT_SCOPE
