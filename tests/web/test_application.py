"""The shorter way to the routes finds what Flask's own way finds, and refuses what that refuses."""

from typing import Any

import pytest
from flask import Flask, request, session
from werkzeug.exceptions import HTTPException
from werkzeug.test import EnvironBuilder

from app.web.application import Application

HOSTS = ["api.example", "api.example:8443", "[2001:db8::1]:80", "API.Example", "192.0.2.1", "ä.example"]
HOSTS += ["", "a..b", "a b", "a@b", ".", "x" * 70, f"{'x' * 70}.example:1", "evil.example/path", "[", "a:b:c"]
PATHS = ["/v1/things/ä%20b", "/v1/things/%FF", "/v1/things//x", "//v1/things/x", "/v1/folder", "/nothing", "", "*"]


def made(kind: type[Flask]) -> Flask:
    app = kind("made", static_folder=None)
    app.url_map.merge_slashes = False

    @app.route("/v1/things/<thing>", methods=["GET", "PUT"])
    def things(thing: str) -> dict[str, Any]:
        return {"thing": thing, "host": request.host, "url": request.url, "q": request.args.get("q")}

    @app.get("/v1/folder/")
    def folder() -> dict[str, Any]:
        return {}

    return app


OURS, FLASKS = made(Application), made(Flask)


def found(app: Flask, environ: dict[str, Any]) -> tuple[Any, ...]:
    with app.request_context(dict(environ)):
        fault = request.routing_exception
        if isinstance(fault, HTTPException):
            return type(fault), fault.code, getattr(fault, "new_url", None)
        return request.endpoint, request.view_args, request.host, request.url


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("path", PATHS)
def test_route_when_looked_up_then_what_flask_finds(host: str, path: str):
    environ = EnvironBuilder(path="/x").get_environ() | {"HTTP_HOST": host}
    environ["PATH_INFO"] = path.encode().decode("latin-1")
    for method in ("GET", "PUT", "DELETE"):
        environ["REQUEST_METHOD"] = method
        assert found(OURS, environ) == found(FLASKS, environ)


@pytest.mark.parametrize(
    "unusual",
    [
        {"HTTP_UPGRADE": "websocket", "HTTP_CONNECTION": "Upgrade"},
        {"QUERY_STRING": "q=1&r=%C3%A4"},
        {"SCRIPT_NAME": "/mounted"},
        {"SERVER_NAME": "/run/socket", "SERVER_PORT": ""},
        {"wsgi.url_scheme": "https", "HTTP_HOST": "api.example:443"},
    ],
)
def test_route_when_the_request_is_unusual_then_what_flask_finds(unusual: dict[str, str]):
    for path in ("/v1/things/x", "/v1/folder", "/nothing"):
        environ = EnvironBuilder(path=path).get_environ() | unusual
        assert found(OURS, environ) == found(FLASKS, environ)
        environ.pop("HTTP_HOST")
        assert found(OURS, environ) == found(FLASKS, environ)


def test_session_when_written_to_then_refused_and_read_then_empty():
    with OURS.test_request_context("/v1/things/x"):
        assert not session
        with pytest.raises(RuntimeError, match="session is unavailable"):
            session["a"] = 1
