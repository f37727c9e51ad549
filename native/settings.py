"""What the commands are told: where the issuer and the API are, and how to log in.

Takes   values from flags and environment (click reads both, in __main__.py) or from other code
Gives   Settings, frozen and checked
Raises  SettingsError
Not     reading the environment; finding the audience (discovery.py)
Source  RFC 8252 §7.3, §8.3 (loopback redirects); OpenID Connect Core §3.1.2.1 (request parameters)
"""

import hashlib
import ipaddress
import shlex
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, urlsplit

import platformdirs

from native.errors import SettingsError

DEFAULT_ISSUER = "http://127.0.0.1:9000/"
DEFAULT_CLIENT_ID = "postern-native"
DEFAULT_API = "http://127.0.0.1:8000"
DEFAULT_CALLBACK = "http://127.0.0.1/callback"  # without a port: any free one

IDENTITY_SCOPES = ("openid", "profile", "email", "offline_access")
# What an app needs every day. Rare and dangerous scopes (export, deletion) are asked for when they are needed.
EVERYDAY_SCOPES = (
    "read:profile",
    "read:email",
    "write:profile",
    "read:preferences",
    "write:preferences",
    "read:records",
    "write:records",
)


def default_state_dir() -> Path:
    """The user's own folder for state, as the operating system has it."""
    return platformdirs.user_state_path("postern-native", appauthor=False)


def is_loopback(url: str) -> bool:
    """Whether the URL's host is this machine: then http and no proxy are right."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(frozen=True)
class Settings:
    """Everything a login and a call need to know."""

    issuer: str = DEFAULT_ISSUER
    client_id: str = DEFAULT_CLIENT_ID
    api: str = DEFAULT_API
    audience: str | None = None  # None: what the API's metadata says, else the API's URL
    resource: str | None = None  # RFC 8707; sent instead of an audience nobody asked for
    scope: str | None = None  # None: IDENTITY_SCOPES and EVERYDAY_SCOPES
    prompt: str | None = None
    max_age_seconds: int | None = None
    acr: str | None = None
    callback: str = DEFAULT_CALLBACK
    state_dir: Path = field(default_factory=default_state_dir)
    store: Literal["auto", "file", "keyring"] = "auto"
    http_timeout_seconds: float = 10
    login_timeout_seconds: float = 300

    def __post_init__(self) -> None:
        require_secure("--issuer", self.issuer)
        require_secure("--api", self.api)
        _require_loopback_callback(self.callback)

    @property
    def session_key(self) -> str:
        """Names the stored session: one per issuer, client and API; safe as a file name."""
        named = "\n".join((self.issuer, self.client_id, self.api.rstrip("/")))
        return hashlib.sha256(named.encode()).hexdigest()[:32]

    def command(self, verb: str, **flags: str | None) -> str:
        """A command line that works when pasted: the verb, these flags, and every address that is not the default."""
        words = ["python", "-m", "native", verb]
        defaults = {f.name: f.default for f in fields(self)}
        for name in ("issuer", "client_id", "api", "audience", "resource"):
            if getattr(self, name) != defaults[name]:
                flags.setdefault(name, getattr(self, name))
        for name, value in flags.items():
            if value is not None:
                words += [f"--{name.replace('_', '-')}", value]
        return shlex.join(words)


def require_secure(name: str, url: str) -> None:
    """Raise unless the URL is https, or http on this machine (RFC 6749 §3.1, §3.2: TLS everywhere else)."""
    parts = _split(name, url)
    if not parts.hostname or parts.scheme not in {"http", "https"} or parts.fragment:
        raise SettingsError(f"{name}: not a web address: {url}")
    if parts.scheme == "http" and not is_loopback(url):
        raise SettingsError(f"{name}: plain http is for this machine only: {url}", "Use https.")


def _require_loopback_callback(url: str) -> None:
    parts = _split("--callback", url)
    hosts = {"127.0.0.1", "::1", "localhost"}  # what loopback.py listens on
    if parts.scheme != "http" or parts.hostname not in hosts or not parts.path or parts.query or parts.fragment:
        raise SettingsError(f"--callback: not a loopback address: {url}", "For example http://127.0.0.1:8484/callback")


def _split(name: str, url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for a port that is none
    except ValueError as error:
        raise SettingsError(f"{name}: not a web address: {url}") from error
    return parts
