"""Read the development tenant's settings, once, and refuse what would expose it.

Takes   a mapping of environment variables (TENANT_HOST, TENANT_PORT, TENANT_ISSUER_URL, TENANT_STATE_DIR,
        TENANT_REGISTRY, TENANT_API_IDENTIFIER, TENANT_ALLOW_PUBLIC)
Gives   TenantSettings, frozen
Raises  SettingsError with a sentence for the person at the terminal
Not     the registry's content (registry.py)
Source  D2, D16
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

HERE = Path(__file__).parent
HIGHEST_PORT = 65535


class SettingsError(Exception):
    """A setting that the tenant cannot start with."""


@dataclass(frozen=True)
class TenantSettings:
    """Everything the tenant is told from outside."""

    issuer: str
    host: str = "127.0.0.1"
    port: int = 9000
    state_dir: Path = Path("var/tenant")
    registry_file: Path = HERE / "registry.toml"
    api_identifier: str | None = None
    allow_public: bool = False
    quiet: bool = False

    def __post_init__(self) -> None:
        """Refuse an issuer that is no URL with a trailing slash, and an address that others can reach."""
        parts = urlsplit(self.issuer)
        if parts.scheme not in {"http", "https"} or not parts.hostname or not self.issuer.endswith("/"):
            raise SettingsError(f"TENANT_ISSUER_URL must be an http(s) URL that ends with a slash, not {self.issuer!r}")
        if not is_loopback(self.host) and not self.allow_public:
            raise SettingsError(
                f"TENANT_HOST={self.host} can be reached by others, and this tenant lets anyone mint tokens. "
                "Use 127.0.0.1, or say TENANT_ALLOW_PUBLIC=yes if you know who can reach it."
            )


def from_environment(environment: Mapping[str, str], *, quiet: bool = False) -> TenantSettings:
    """Return the settings that the environment asks for; a variable set to nothing counts as unset."""
    host = environment.get("TENANT_HOST") or "127.0.0.1"
    port = _port(environment.get("TENANT_PORT") or "9000")
    return TenantSettings(
        issuer=environment.get("TENANT_ISSUER_URL") or f"http://127.0.0.1:{port}/",
        host=host,
        port=port,
        state_dir=Path(environment.get("TENANT_STATE_DIR") or "var/tenant"),
        registry_file=Path(environment.get("TENANT_REGISTRY") or HERE / "registry.toml"),
        api_identifier=environment.get("TENANT_API_IDENTIFIER") or None,
        allow_public=(environment.get("TENANT_ALLOW_PUBLIC") or "").lower() == "yes",
        quiet=quiet,
    )


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach the address; any name but `localhost` counts as public."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= HIGHEST_PORT:
        raise SettingsError(f"TENANT_PORT must be a number from 1 to {HIGHEST_PORT}, not {text!r}")
    return int(text)
