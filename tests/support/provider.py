"""A small OpenID provider over real HTTP on 127.0.0.1, for tests of a client.

Takes   knobs, set on the object while it runs: what to change in redirects, ID tokens, metadata, token answers
Gives   authorisation that redirects at once with a code; a token endpoint with PKCE, one-time codes,
        refresh rotation and reuse detection; revocation; keys; and a record of every request
Raises  nothing: what it refuses it refuses over HTTP
Not     the development tenant: no login page, no users, no consent
Source  OpenID Connect Core §3.1; RFC 7636 §4.6; RFC 9700 §4.14.2; RFC 9207
"""

import hashlib
import json
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Lock, Thread
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

from joserfc import jws
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

CLIENT_ID = "postern-native"
SUBJECT = "auth0|ada"


@cache
def signing_key(alg: str = "RS256") -> Key:
    """The provider's key for an algorithm, generated once in a test process."""
    parameters = {"kid": f"key-{alg}", "use": "sig", "alg": alg}
    if alg == "ES256":
        return ECKey.generate_key("P-256", parameters)
    if alg == "EdDSA":
        return OKPKey.generate_key("Ed25519", parameters)
    return RSAKey.generate_key(2048, parameters)


def sign(claims: Mapping[str, Any], alg: str = "RS256", **header: object) -> str:
    """A real JWT of this provider's."""
    key = signing_key(alg)
    protected = {"alg": alg, "kid": key.kid, "typ": "JWT", **header}
    return jws.serialize_compact(protected, json.dumps(dict(claims)), key, registry=_quiet(alg))


def half_hash(value: str, alg: str = "RS256") -> str:
    """`at_hash` for an access token (OpenID Connect Core §3.1.3.6)."""
    digest = (hashlib.sha512 if alg == "EdDSA" else hashlib.sha256)(value.encode()).digest()
    return urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()


def _quiet(alg: str) -> JWSRegistry:
    registry = JWSRegistry(algorithms=[alg], strict_check_header=False)
    registry.get_alg = lambda name: JWSRegistry.algorithms[name]  # type: ignore[method-assign] # EdDSA warns by name
    return registry


@dataclass(frozen=True)
class Answer:
    """What a request gets."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def json(cls, status: int, document: object, *headers: tuple[str, str]) -> Self:
        return cls(status, json.dumps(document).encode(), headers=headers)


class LocalServer:
    """A threaded HTTP server on a free port; every answer comes from `answer`."""

    def __init__(self) -> None:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                answer = outer.answer(self.command, self.path, dict(self.headers.items()), self.rfile.read(length))
                self.send_response(answer.status)
                for name, value in (("Content-Type", answer.content_type), *answer.headers):
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815 - http.server's names

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = False
            request_queue_size = 64

            def handle_error(self, request: object, client_address: object) -> None:
                """A client that went away is part of some tests."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Provider(LocalServer):
    """The provider; its knobs are plain attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.issuer = f"{self.url}/"
        self.alg = "RS256"
        self.lifetime_seconds = 3600
        self.metadata: dict[str, Any] = {}  # over the real one; None takes a member out
        self.redirect: dict[str, str | None] = {}  # over the redirect's parameters; None takes one out
        self.id_token: dict[str, Any] = {}  # over the ID token's claims; None takes one out
        self.token_answer: dict[str, Any] = {}  # over the token endpoint's answer; None takes a member out
        self.faults: list[Answer] = []  # the token endpoint's next answers, instead of the real ones
        self.sign: Callable[[dict[str, Any]], str] = lambda claims: sign(claims, self.alg)
        self.wait_for_refreshes = 1  # hold each refresh until so many have come, or patience is at its end
        self.patience_seconds = 0.0
        self.authorizations: list[dict[str, str]] = []
        self.exchanges: list[dict[str, str]] = []
        self.refreshes: list[dict[str, str]] = []
        self.revocations: list[dict[str, str]] = []
        self._codes: dict[str, dict[str, str]] = {}
        self._live: set[str] = set()
        self._spent: set[str] = set()
        self._lock = Lock()
        self._arrived = Condition()

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:  # noqa: ARG002 - the base says so
        parts = urlsplit(target)
        query, form = dict(parse_qsl(parts.query)), dict(parse_qsl(body.decode()))
        match method, parts.path:
            case "GET", "/.well-known/openid-configuration":
                return Answer.json(200, self._document())
            case "GET", "/jwks":
                return Answer.json(200, {"keys": [signing_key(self.alg).as_dict(private=False)]})
            case "GET", "/authorize":
                return self._authorize(query)
            case "POST", "/token":
                return self._token(form)
            case "POST", "/revoke":
                self.revocations.append(form)
                self._live.discard(form.get("token", ""))
                return Answer(200)
        return Answer.json(404, {})

    def first_refresh_token(self) -> str:
        """A live refresh token, as after a login."""
        token = f"rt-{secrets.token_urlsafe(16)}"
        self._live.add(token)
        return token

    def _document(self) -> dict[str, Any]:
        return _over(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/jwks",
                "revocation_endpoint": f"{self.url}/revoke",
                "code_challenge_methods_supported": ["S256"],
                "authorization_response_iss_parameter_supported": True,
            },
            self.metadata,
        )

    def _authorize(self, query: dict[str, str]) -> Answer:
        self.authorizations.append(query)
        code = secrets.token_urlsafe(16)
        self._codes[code] = query
        answer = _over({"code": code, "state": query["state"], "iss": self.issuer}, self.redirect)
        return Answer(302, headers=(("Location", f"{query['redirect_uri']}?{urlencode(answer)}"),))

    def _token(self, form: dict[str, str]) -> Answer:
        refresh = form.get("grant_type") == "refresh_token"
        (self.refreshes if refresh else self.exchanges).append(form)
        if refresh:
            with self._arrived:
                self._arrived.notify_all()
                self._arrived.wait_for(lambda: len(self.refreshes) >= self.wait_for_refreshes, self.patience_seconds)
        with self._lock:
            if self.faults:
                return self.faults.pop(0)
            return self._refresh(form) if refresh else self._exchange(form)

    def _exchange(self, form: dict[str, str]) -> Answer:
        asked = self._codes.pop(form.get("code", ""), None)
        if asked is None or form.get("redirect_uri") != asked["redirect_uri"] or form.get("client_id") != CLIENT_ID:
            return _invalid_grant("Invalid authorization code")
        proof = urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest()).rstrip(b"=").decode()
        if asked.get("code_challenge_method") != "S256" or proof != asked.get("code_challenge"):
            return _invalid_grant("Failed to verify code verifier")
        scope = asked["scope"].split()
        answer = self._issue(scope, with_refresh="offline_access" in scope)
        if "openid" in scope:
            answer["id_token"] = self.sign(self._claims(asked, answer["access_token"]))
        return Answer.json(200, _over(answer, self.token_answer))

    def _refresh(self, form: dict[str, str]) -> Answer:
        token = form.get("refresh_token", "")
        if token in self._spent:  # RFC 9700 §4.14.2: somebody has a copy; nobody keeps one
            self._live.clear()
        if token not in self._live:
            return _invalid_grant("Unknown or invalid refresh token.")
        self._live.discard(token)
        self._spent.add(token)
        return Answer.json(200, _over(self._issue([], with_refresh=True), self.token_answer))

    def _issue(self, scope: list[str], *, with_refresh: bool) -> dict[str, Any]:
        answer: dict[str, Any] = {
            "access_token": f"at-{secrets.token_urlsafe(16)}",
            "token_type": "Bearer",
            "expires_in": self.lifetime_seconds,
        }
        if with_refresh:
            answer["refresh_token"] = self.first_refresh_token()
        return answer | ({"scope": " ".join(scope)} if scope else {})

    def _claims(self, asked: dict[str, str], access_token: str) -> dict[str, Any]:
        now = int(time.time())
        return _over(
            {
                "iss": self.issuer,
                "sub": SUBJECT,
                "aud": CLIENT_ID,
                "exp": now + 600,
                "iat": now,
                "auth_time": now,
                "nonce": asked.get("nonce"),
                "at_hash": half_hash(access_token, self.alg),
                "name": "Ada Lovelace",
            },
            self.id_token,
        )


def _over(document: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in (document | dict(changes)).items() if value is not None}


def _invalid_grant(description: str) -> Answer:
    return Answer.json(403, {"error": "invalid_grant", "error_description": description})
