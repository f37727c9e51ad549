"""Call the API, and obey its answers.

Takes   a Session;  step_up: logs in again with these settings, or None where nobody can
        sleep, say, clock: how to wait, and whom to tell
Gives   the response of a call that succeeded
Raises  ApiRefused, ScopeNeeded, StepUpNeeded, LoginNeeded, Unavailable; each says what to do
Not     reading refusals (problem.py), renewing (session.py); it never ends a session because of an answer
Source  N4, N5; RFC 6750 §3.1; RFC 9470 §4
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NoReturn

import requests

from native import problem as problems
from native.errors import ApiRefused, LoginNeeded, NativeError, ScopeNeeded, StepUpNeeded, Unavailable
from native.problem import Problem
from native.session import Session
from native.settings import IDENTITY_SCOPES, Settings
from native.transport import open_session, reach

MAX_WAITS = 3
MAX_WAIT_SECONDS = 60.0
_REFUSED = 400

StepUp = Callable[[Settings], object]


class Api:
    """The API as this session's user."""

    def __init__(
        self,
        session: Session,
        *,
        step_up: StepUp | None = None,
        sleep: Callable[[float], None] = time.sleep,
        say: Callable[[str], None] = lambda _line: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._session = session
        self._settings = session.settings
        self._step_up = step_up
        self._sleep = sleep
        self._say = say
        self._clock = clock

    def call(
        self, method: str, path: str, *, body: bytes | None = None, fields: Mapping[str, str] | None = None
    ) -> requests.Response:
        """The answer, after whatever the API asked for on the way: each action once, waiting a few times."""
        method = method.upper()
        token = self._session.access_token()
        done: set[str] = set()
        waits = 0
        while True:
            response = self._send(method, path, body, token, fields or {})
            if response.status_code < _REFUSED:
                return response
            problem = problems.read(response, method, now=self._clock())
            action = problem.action
            if action == "retry_later" and waits < MAX_WAITS:
                self._wait(problem, waits)
                waits += 1
            elif action == "refresh" and action not in done:
                token = self._session.renew(token)
            elif action == "retry_now" and action not in done:
                pass
            elif action == "step_up" and action not in done and self._step_up:
                self._step_up(self._stronger(problem))
                token = self._session.access_token()
            else:
                self._refuse(problem)
            done.add(action)

    def _send(
        self, method: str, path: str, body: bytes | None, token: str, fields: Mapping[str, str]
    ) -> requests.Response:
        # NOTE: always below the API's own address, whatever the path looks like: the token goes nowhere else.
        url = f"{self._settings.api.rstrip('/')}/{path.lstrip('/')}"
        headers = {**fields, **({"Content-Type": "application/json"} if body is not None else {})}
        with open_session(url, self._settings.http_timeout_seconds, access_token=token) as http:
            return reach(url, lambda: http.request(method, url, data=body, headers=headers, allow_redirects=False))

    def _wait(self, problem: Problem, waits: int) -> None:
        seconds = problem.retry_after_seconds
        if seconds is None:
            seconds = 2.0**waits
        if seconds > MAX_WAIT_SECONDS:
            raise Unavailable(str(problem), f"Try again in {seconds:.0f} seconds. You are still logged in.")
        self._say(f"{problem} Trying again in {seconds:g} s.")
        self._sleep(seconds)

    def _stronger(self, problem: Problem) -> Settings:
        """Settings for a login that grants what this session has, and as recent or strong as the API asks."""
        return replace(
            self._session.login_settings(),
            scope=" ".join(dict.fromkeys((*IDENTITY_SCOPES, *self._session.tokens().scope))),
            max_age_seconds=problem.max_age_seconds,
            acr=problem.acr,
        )

    def _refuse(self, problem: Problem) -> NoReturn:
        raise self._refusal(problem)

    def _refusal(self, problem: Problem) -> NativeError:
        command, held = self._session.login_settings().command, self._session.tokens().scope
        match problem.action:
            case "request_scope":
                # The whole list: an issuer grants what this login asks for, not what an earlier one did.
                scopes = dict.fromkeys((*IDENTITY_SCOPES, *held, *problem.scope))
                missing = " ".join(scope for scope in problem.scope if scope not in held) or " ".join(problem.scope)
                return ScopeNeeded(
                    f"This needs a scope that the app has not been granted: {missing}",
                    command("login", scope=" ".join(scopes)),
                )
            case "step_up":
                age = None if problem.max_age_seconds is None else str(problem.max_age_seconds)
                return StepUpNeeded(
                    f"This needs a more recent or a stronger login. {problem}",
                    command(
                        "login", max_age=age, acr=problem.acr, scope=" ".join(dict.fromkeys((*IDENTITY_SCOPES, *held)))
                    ),
                )
            case "refresh" | "reauthenticate" | "send_token":
                return LoginNeeded(f"The API does not accept this session. {problem}", command("login"))
            case "retry_later" | "retry_now":
                return Unavailable(str(problem), "Try again later. You are still logged in.")
            case "ask_operator":
                return ApiRefused(str(problem), "Ask the operator of the API for this permission.")
            case _:
                return ApiRefused(str(problem), code=problem.code)
