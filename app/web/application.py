"""Flask without what this API has no use for, at each request.

Takes   nothing more than Flask
Gives   Application
Raises  nothing of its own
Not     what is installed in it (app/factory.py)
Source  werkzeug "URL Routing", Map.bind_to_environ; RFC 9110 §7.2
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from flask import Flask, Request
from flask.sessions import NullSession, SessionInterface
from werkzeug.routing import MapAdapter
from werkzeug.wsgi import get_host

_HOSTS_REMEMBERED: Final = 64
# Where a request has one of these, Flask's own way is taken.
_UNUSUAL: Final = ("HTTP_UPGRADE", "QUERY_STRING", "SCRIPT_NAME")


class NoSession(SessionInterface):
    """There are no cookies here; Flask makes an empty session for each request, to refuse whoever writes into it."""

    def __init__(self) -> None:
        self._none = NullSession()

    def open_session(self, app: Flask, request: Request) -> NullSession:  # noqa: ARG002 - Flask's arguments
        """Return the same one each time: it cannot be written to."""
        return self._none


class Application(Flask):
    """Flask, with a shorter way to the routes; for routes without hosts and subdomains."""

    session_interface = NoSession()

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)

        @lru_cache(_HOSTS_REMEMBERED)
        def server_name(host: str) -> str:
            # Refuses what is no host's name; that is not remembered.
            return self.url_map.bind(host).server_name

        self._server_name = server_name

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function as it is: Flask looks three times in each request whether it is a coroutine."""
        return func

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Bind the routes to a request: Flask reads its host twice, and encodes its name anew each time."""
        if request is None or any(map(request.environ.get, _UNUSUAL)):
            return super().create_url_adapter(request)
        environ = request.environ
        request.host = get_host(environ, request.trusted_hosts)
        return MapAdapter(
            self.url_map,
            server_name=self._server_name(request.host),
            script_name="/",
            subdomain=self.url_map.default_subdomain,
            url_scheme=request.environ["wsgi.url_scheme"],
            # As werkzeug reads it: WSGI passes bytes on as Latin-1.
            path_info=environ.get("PATH_INFO", "").encode("latin-1").decode(errors="replace"),
            default_method=request.environ["REQUEST_METHOD"],
            query_args="",
        )
