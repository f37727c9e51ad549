"""Say why a token was refused, by a stable code and never by a message.

Takes   a Reason, and what the answer must name beside it
Gives   the exceptions that leave the token core
Raises  nothing
Not     the table of codes (reasons.py), the answer (app/web/problems.py)
Source  RFC 6750 §3.1; RFC 9449 §7.1; RFC 9470 §3; docs/contracts/tokens.md §6
"""

from app.oauth.reasons import Reason


class Refused(Exception):  # noqa: N818 - the word of the contract: a refusal is an answer, not an error of ours
    """The caller is refused; `reason` says why. Never says that something is broken on our side."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.code)
        self.reason = reason


class InvalidToken(Refused):
    """A 401 about the token, or a 400 about the Authorization header that should hold it."""


class InsufficientScope(Refused):
    """A 403: the token is good and lacks a scope; `required` is exactly what the route wants."""

    def __init__(self, required: tuple[str, ...]) -> None:
        super().__init__(Reason.INSUFFICIENT_SCOPE)
        self.required = required


class StepUpRequired(Refused):
    """A 401: the login behind the token is too old or too weak for what is asked (RFC 9470 §3)."""

    def __init__(self, max_age_seconds: int | None, acr_values: tuple[str, ...]) -> None:
        super().__init__(Reason.STEP_UP_REQUIRED)
        self.max_age_seconds = max_age_seconds
        self.acr_values = acr_values


class Forbidden(Refused):
    """A 403 that no other scope would cure: `user_required`, `permission_required` or `client_revoked`."""


class KeysUnavailable(Exception):  # noqa: N818 - named as the contract's code
    """OUR fault: no usable keys are held, and nothing can be said about any token (T27)."""

    reason = Reason.KEYS_UNAVAILABLE

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(Reason.KEYS_UNAVAILABLE.code)
        self.retry_after_seconds = retry_after_seconds
