"""The tenant's signing keys: the current one, the next one, and those before them.

Takes   the state directory
Gives   KeyRing: the key to sign with, the published key set (kid, x5c, x5t), rotation and revocation, as Auth0 has them
Raises  KeyStateError for a rotation that is not possible; OSError when the directory cannot be written
Not     HTTP, faults
Source  D10; RFC 7517 §4; RFC 7638 (kid = thumbprint)
"""

import base64
import hashlib
import json
import threading
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from joserfc.jwk import RSAKey

from tenant import private_files

KEY_BITS = 2048
CERTIFICATE_DAYS = 3650


class KeyStateError(Exception):
    """The keys are not in a state that allows this."""


@dataclass(frozen=True)
class SigningKey:
    """One RSA key with its certificate. state: current, next, previous, or foreign (never published)."""

    kid: str
    state: str
    private_pem: str
    certificate: str

    @cached_property
    def jwk(self) -> RSAKey:
        """The key to sign and verify with."""
        return RSAKey.import_key(self.private_pem)

    def published(self) -> dict[str, Any]:
        """Return the public JWK, with the members that Auth0 gives."""
        digest = hashlib.sha1(
            base64.b64decode(self.certificate), usedforsecurity=False
        ).digest()  # x5t is SHA-1 by RFC 7517 §4.8
        numbers = self.jwk.as_dict(private=False)
        return {
            "kty": "RSA",
            "use": "sig",
            "n": numbers["n"],
            "e": numbers["e"],
            "kid": self.kid,
            "x5t": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "x5c": [self.certificate],
            "alg": "RS256",
        }


class KeyRing:
    """The keys, kept in one file; safe to use from several threads."""

    def __init__(self, directory: Path, issuer: str) -> None:
        self._file = directory / "keys.json"
        self._name = urlsplit(issuer).hostname or "tenant"
        self._lock = threading.RLock()
        kept = private_files.read(self._file)
        self._keys = [SigningKey(**entry) for entry in json.loads(kept)] if kept else []
        if not self._keys:
            self._keep([self._make("current"), self._make("next")])

    @cached_property
    def foreign(self) -> SigningKey:
        """A key that is never published: whatever it signs must be refused."""
        return self._make("foreign")

    def get(self, state: str) -> SigningKey:
        """Return the current, next or foreign key."""
        if state == "foreign":
            return self.foreign
        with self._lock:
            return next(key for key in self._keys if key.state == state)

    def find(self, kid: object) -> SigningKey | None:
        """Return the published key of this name."""
        with self._lock:
            return next((key for key in self._keys if key.kid == kid), None)

    def published(self) -> dict[str, Any]:
        """Return the key set document: current, next, then what has been rotated out but not revoked."""
        with self._lock:
            return {"keys": [key.published() for key in self._keys]}

    def states(self) -> list[dict[str, str]]:
        """Return kid and state of each key."""
        with self._lock:
            return [{"kid": key.kid, "state": key.state} for key in self._keys]

    def rotate(self) -> None:
        """Sign with the next key from now on; the one before it stays published until it is revoked."""
        with self._lock:
            previous, current = (
                replace(self.get("current"), state="previous"),
                replace(self.get("next"), state="current"),
            )
            older = [key for key in self._keys if key.state == "previous"]
            self._keep([current, self._make("next"), previous, *older])

    def revoke(self) -> list[str]:
        """Stop publishing every key that has been rotated out."""
        with self._lock:
            gone = [key.kid for key in self._keys if key.state == "previous"]
            if not gone:
                raise KeyStateError("only a key that was rotated out can be revoked: rotate first")
            self._keep([key for key in self._keys if key.state != "previous"])
            return gone

    def _keep(self, keys: list[SigningKey]) -> None:
        private_files.write(self._file, json.dumps([asdict(key) for key in keys], indent=1))
        self._keys = keys

    def _make(self, state: str) -> SigningKey:
        private = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
        pem = private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        certificate = _self_signed(private, self._name)
        return SigningKey(RSAKey.import_key(pem).thumbprint(), state, pem, base64.b64encode(certificate).decode())


def _self_signed(private: rsa.RSAPrivateKey, name: str) -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = datetime.now(UTC) - timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=CERTIFICATE_DAYS))
        .sign(private, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.DER)
