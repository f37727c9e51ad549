# ruff: noqa: N818 - named by what happened, as a person would say it; all are NativeError
"""What can go wrong, for people at a terminal and for scripts.

Takes   message: one line that says what happened;  hint: one line that says what to do, often a command to paste
Gives   exceptions that carry both, and the exit code of the process
Not     printing (show.py), the choice between them (login.py, session.py, api.py)
Source  sysexits is deliberately not followed: a script needs to tell these six apart, and no more
"""


class NativeError(Exception):
    """Something a person can act on; never holds a token or a code."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ApiRefused(NativeError):
    """The API refused the call, and nothing this program can do by itself would change that; `code` says why."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "", *, code: str = "") -> None:
        super().__init__(message, hint)
        self.code = code


class SettingsError(NativeError):
    """A setting cannot be used; the same exit code as click's usage errors."""

    exit_code = 2


class LoginNeeded(NativeError):
    """There is no session, or it has ended: the user has to log in."""

    exit_code = 3


class LoginFailed(NativeError):
    """A login was tried and did not succeed, or its answer could not be trusted."""

    exit_code = 4


class Unavailable(NativeError):
    """The issuer or the API cannot be reached or asks to come back later; the session is kept."""

    exit_code = 5


class ScopeNeeded(NativeError):
    """The access token lacks a scope that the route wants."""

    exit_code = 6


class StepUpNeeded(NativeError):
    """The route wants a more recent or a stronger login."""

    exit_code = 7
