"""A tenant's key, the tokens that it has signed, and a JWKS server on the loopback interface.

Takes   a folder to keep the tokens in: signing 10 000 takes a quarter of a minute
Gives   Credentials; a running JWKS server
Raises  OSError if the folder cannot be written
Not     a tenant: nobody can log in here, and the private key is forgotten when the tokens are signed
"""

import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

ISSUER = "https://tenant.example/"
AUDIENCE = "https://api.example/"
KEY_ID = "bench-1"
PROFILE_SCOPES = "read:profile read:email write:profile"
SYNC_SCOPES = f"{PROFILE_SCOPES} read:preferences read:records write:records"
_FILE = "tokens.json"
_LIFETIME_SECONDS = 7 * 86_400
# Tokens that are kept from the last time must outlive the run.
_MARGIN_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Credentials:
    """Valid tokens, all different, and the public keys they can be verified with."""

    key_set: dict[str, Any]
    tokens: tuple[str, ...]
    issued_at: int
    expires_at: int

    def forged(self, count: int) -> list[str]:
        """Tokens whose signature is well formed and belongs to another token."""
        found = []
        for index in range(count):
            own, other = self.tokens[index % len(self.tokens)], self.tokens[(index + 1) % len(self.tokens)]
            found.append(f"{own.rpartition('.')[0]}.{other.rpartition('.')[2]}")
        return found


def credentials(directory: Path, count: int, scopes: str = PROFILE_SCOPES, name: str = _FILE) -> Credentials:
    """Take the tokens of the last time where they still serve, else sign new ones."""
    path = directory / name
    if path.exists():
        kept = json.loads(path.read_bytes())
        if len(kept["tokens"]) >= count and kept["expires_at"] > time.time() + _MARGIN_SECONDS:
            return Credentials(kept["key_set"], tuple(kept["tokens"][:count]), kept["issued_at"], kept["expires_at"])
    signed = sign(count, scopes)
    directory.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(signed)))
    return signed


def sign(count: int, scopes: str = PROFILE_SCOPES, issuer: str = ISSUER) -> Credentials:
    """Sign tokens as Auth0 issues them for an API with RBAC, each with a `jti` and a user of its own."""
    private_key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    now = int(time.time())
    expires_at = now + _LIFETIME_SECONDS
    tokens = tuple(
        jwt.encode(_claims(index, now, expires_at, scopes) | {"iss": issuer}, private_key, "RS256", {"kid": KEY_ID})
        for index in range(count)
    )
    jwk = jwt.algorithms.RSAAlgorithm.to_jwk(private_key.public_key(), as_dict=True)
    public = {"kty": jwk["kty"], "n": jwk["n"], "e": jwk["e"], "kid": KEY_ID, "use": "sig", "alg": "RS256"}
    return Credentials({"keys": [public]}, tokens, now, expires_at)


def subject(index: int) -> str:
    """The user of a token."""
    return f"auth0|{index:024x}"


def _claims(index: int, now: int, expires_at: int, scopes: str) -> dict[str, Any]:
    return {
        "iss": ISSUER,
        "sub": subject(index),
        "aud": [AUDIENCE, f"{ISSUER}userinfo"],
        "iat": now,
        "exp": expires_at,
        "scope": f"openid profile email offline_access {scopes}",
        "azp": "nativeAppClientId0123456789abcdef",
        "permissions": scopes.split(),
        "jti": secrets.token_urlsafe(16),
    }


@contextmanager
def key_server(key_set: dict[str, Any]) -> Iterator[str]:
    """Serve the key set on a free port; gives the address."""

    class Handler(BaseHTTPRequestHandler):
        document: ClassVar[bytes] = json.dumps(key_set).encode()

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(self.document)))
            self.end_headers()
            self.wfile.write(self.document)

        def log_message(self, *_arguments: Any) -> None:
            """Write nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/jwks.json"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
