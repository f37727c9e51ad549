"""Read a refusal of the API: what happened, and what the client is to do.

Takes   a response with a status of 400 and up;  its method
Gives   Problem, frozen; action is always one of the API's words, whatever stands in front of the API
Not     obeying (api.py)
Source  RFC 9457; RFC 6750 §3; RFC 9470 §3 (max_age, acr_values); RFC 9110 §10.2.3 (Retry-After)
"""

import re
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import requests

from native.show import printable

_PARAMETER = re.compile(r'([a-z_]+)="([^"]*)"')
# What a gateway's answer without a body of the API's means. Only for methods that may be repeated (RFC 9110 §9.2.2).
_COME_BACK = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE}
_REPEATABLE = {"GET", "HEAD", "OPTIONS", "PUT", "DELETE"}
_BY_ERROR = {
    "invalid_token": "refresh",
    "insufficient_user_authentication": "step_up",
    "insufficient_scope": "request_scope",
    "use_dpop_nonce": "retry_now",
}


@dataclass(frozen=True)
class Problem:
    """One refusal."""

    status: int
    code: str
    action: str
    detail: str
    scope: tuple[str, ...]
    max_age_seconds: int | None
    acr: str | None
    retry_after_seconds: float | None
    server_time: str | None

    def __str__(self) -> str:
        clock = f" (its clock says {self.server_time})" if self.server_time else ""
        return f"{self.status} {self.code}: {self.detail}{clock}"


def read(response: requests.Response, method: str, *, now: float) -> Problem:
    """The API's problem document and challenge; the status alone where there is neither."""
    body = _document(response)
    challenge = dict(_PARAMETER.findall(response.headers.get("WWW-Authenticate", "")))
    max_age = challenge.get("max_age", "")
    return Problem(
        status=response.status_code,
        code=_text(body, "code") or challenge.get("error", "no_code"),
        action=_text(body, "action") or _guess(response.status_code, challenge.get("error"), method),
        detail=_text(body, "detail") or _text(body, "title") or response.reason or "no explanation",
        scope=tuple(printable(challenge.get("scope", "")).split()),
        max_age_seconds=int(max_age) if max_age.isascii() and max_age.isdigit() else None,
        acr=printable(challenge["acr_values"]) if "acr_values" in challenge else None,
        retry_after_seconds=_seconds(response.headers.get("Retry-After"), now),
        server_time=_text(body, "server_time") or None,
    )


def _document(response: requests.Response) -> dict[str, Any]:
    media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media_type not in {"application/problem+json", "application/json"}:
        return {}
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _guess(status: int, error: str | None, method: str) -> str:
    if error in _BY_ERROR:
        return _BY_ERROR[error]
    return "retry_later" if status in _COME_BACK and method in _REPEATABLE else "fix_client"


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    return printable(str(value)) if isinstance(value, str | int | float) else ""


def _seconds(value: str | None, now: float) -> float | None:
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() - now)
