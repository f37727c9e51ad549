"""The one way out: HTTP sessions with a time-out, without redirects, and without a proxy on this machine.

Takes   url: where the session will go;  timeout_seconds: to connect, and between two reads
Gives   Authlib's OAuth2Session; get_json for public documents
Raises  Unavailable (no connection, time-out, 5xx);  NativeError (another answer than a JSON object)
Not     tokens: a session sends one only if it was given one
Source  RFC 9700 §4.12 (redirects with credentials); OpenID Connect Discovery §4
"""

from collections.abc import Callable
from typing import Any, TypeVar

import requests
from authlib.integrations.requests_client import OAuth2Session

from native.errors import NativeError, Unavailable
from native.settings import is_loopback

SERVER_ERROR = 500
# What Authlib raises for a token answer that is no JSON object, or whose `expires_in` is no number.
UNREADABLE = (ValueError, TypeError, OverflowError)
T = TypeVar("T")


def open_session(
    url: str, timeout_seconds: float, *, client_id: str | None = None, access_token: str | None = None
) -> OAuth2Session:
    """A session to be closed by its user (`with`)."""
    token = {"access_token": access_token, "token_type": "Bearer"} if access_token else None
    session = OAuth2Session(
        client_id=client_id, token=token, default_timeout=timeout_seconds, code_challenge_method="S256"
    )
    # NOTE: with HTTP_PROXY set, a request to 127.0.0.1 would leave the machine, or fail.
    session.trust_env = not is_loopback(url)
    session.headers["User-Agent"] = "postern-native"
    session.headers["Accept"] = "application/json"
    return session


def get_json(url: str, timeout_seconds: float) -> dict[str, Any]:
    """The JSON object at a public address."""
    with open_session(url, timeout_seconds) as session:
        response = reach(
            url,
            lambda: session.request("GET", url, withhold_token=True, allow_redirects=False),
        )
    if response.status_code >= SERVER_ERROR:
        raise Unavailable(f"{url} answered {response.status_code}.", "Try again later.")
    try:
        document = response.json()
    except ValueError:
        document = None
    if response.status_code != requests.codes.ok or not isinstance(document, dict):
        raise NativeError(f"{url} answered {response.status_code}, without the JSON document that belongs there.")
    return document


def reach(url: str, send: Callable[[], T]) -> T:
    """What `send` gives; a failed connection or an HTTP error in it becomes Unavailable, which names the address."""
    try:
        return send()
    except requests.Timeout as error:
        raise Unavailable(f"{url} did not answer in time.", "Try again later.") from error
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else "an error"
        raise Unavailable(f"{url} answered {status}.", "Try again later.") from error
    except requests.RequestException as error:
        raise Unavailable(f"{url} cannot be reached.", "Is it running, and is the address right?") from error
