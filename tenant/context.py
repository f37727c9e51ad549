"""What a request to the tenant needs, in one frozen object.

Takes   the parts, from app.py
Gives   Tenant; current(): the one of the running application
Raises  nothing of its own
Not     the making of the parts (app.py)
Source  –
"""

from dataclasses import dataclass

from flask import current_app
from joserfc.jwk import OctKey

from tenant.clock import Clock
from tenant.faults import Faults
from tenant.keys import KeyRing
from tenant.log import EventLog
from tenant.registry import Registry
from tenant.settings import TenantSettings
from tenant.store import Store


@dataclass(frozen=True)
class Tenant:
    """The parts of one development tenant."""

    settings: TenantSettings
    registry: Registry
    clock: Clock
    faults: Faults
    keys: KeyRing
    store: Store
    log: EventLog
    opaque_key: OctKey

    @property
    def issuer(self) -> str:
        """The issuer, with its trailing slash: from the settings, never from `Host`."""
        return self.settings.issuer

    @property
    def userinfo_audience(self) -> str:
        """The audience that /userinfo asks for."""
        return self.settings.issuer + "userinfo"


def current() -> Tenant:
    """Return the running application's tenant."""
    tenant: Tenant = current_app.extensions["tenant"]
    return tenant
