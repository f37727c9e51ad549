"""Where the tokens of a session live between two commands.

Takes   key: Settings.session_key
Gives   Tokens, frozen; load gives None where there is nothing readable
Raises  OSError when a file cannot be written: then the tokens must not be used
Not     renewing (session.py), locking (lock.py); showing: no token is in any repr
Source  RFC 9700 §4.14 (refresh tokens are kept where others cannot read them)
"""

import json
import os
import secrets
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

import keyring
from keyring.backend import KeyringBackend
from keyring.errors import KeyringError

from native.settings import Settings

SERVICE = "postern-native"


@dataclass(frozen=True)
class Tokens:
    """What a login or a renewal gave."""

    access_token: str = field(repr=False)
    expires_at: float | None  # epoch seconds by this machine's clock; None: the issuer did not say
    refresh_token: str | None = field(repr=False)
    id_token: str | None = field(repr=False)
    scope: tuple[str, ...]
    subject: str | None
    name: str | None
    audience: str | None  # what the login was told to ask for, so that the next one asks for the same
    resource: str | None  # RFC 8707: repeated at every renewal
    saved_at: float

    def to_json(self) -> str:
        """The stored form."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self | None:
        """What was stored; None for anything else."""
        try:
            members: dict[str, Any] = json.loads(text)
            tokens = cls(**{**members, "scope": tuple(members["scope"])})
        except (ValueError, TypeError, KeyError):
            return None
        return tokens if isinstance(tokens.access_token, str) and tokens.access_token else None


class Store(Protocol):
    """A place for tokens."""

    def load(self, key: str) -> Tokens | None:
        """What was saved last, if anything."""
        ...

    def save(self, key: str, tokens: Tokens) -> None:
        """Keep these and nothing older."""
        ...

    def forget(self, key: str) -> None:
        """Keep nothing."""
        ...


@dataclass(frozen=True)
class FileStore:
    """One file per session, readable by its owner alone, never half-written."""

    directory: Path

    def load(self, key: str) -> Tokens | None:
        """The file's tokens."""
        try:
            return Tokens.from_json(self._path(key).read_text(encoding="utf-8"))
        except (FileNotFoundError, UnicodeDecodeError):
            return None

    def save(self, key: str, tokens: Tokens) -> None:
        """Write beside, flush to the disk, then rename: a crash leaves the old file or the new one."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = self.directory / f".{key}.{secrets.token_hex(8)}"
        try:
            # NOTE: 0600 from the first moment; chmod afterwards would leave a gap to read it in.
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(tokens.to_json())
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self._path(key))
        finally:
            beside.unlink(missing_ok=True)

    def forget(self, key: str) -> None:
        """Remove the file."""
        self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self.directory / f"{key}.json"


@dataclass(frozen=True)
class KeyringStore:
    """The operating system's keyring; a file takes over whenever the keyring does not."""

    backend: KeyringBackend
    file: FileStore

    def load(self, key: str) -> Tokens | None:
        """The newer of both: a keyring that was locked for a while holds an outdated refresh token."""
        found = [self.file.load(key)]
        with suppress(KeyringError):
            found.append(Tokens.from_json(self.backend.get_password(SERVICE, key) or ""))
        return max((tokens for tokens in found if tokens), key=lambda tokens: tokens.saved_at, default=None)

    def save(self, key: str, tokens: Tokens) -> None:
        """Into the keyring; into the file if that fails (locked, or too long for it)."""
        try:
            self.backend.set_password(SERVICE, key, tokens.to_json())
        except (KeyringError, OSError):
            self.file.save(key, tokens)
        else:
            self.file.forget(key)

    def forget(self, key: str) -> None:
        """Remove both."""
        self.file.forget(key)
        with suppress(KeyringError):
            self.backend.delete_password(SERVICE, key)


def open_store(settings: Settings) -> Store:
    """The keyring where there is a usable one, or the file that NATIVE_STORE=file asks for."""
    file = FileStore(settings.state_dir)
    if settings.store == "file":
        return file
    backend = keyring.get_keyring()
    # keyring's own mark for "none here": its fail and null backends have no positive priority.
    usable = backend.priority > 0
    return KeyringStore(backend, file) if usable or settings.store == "keyring" else file
