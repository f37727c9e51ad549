"""Say which address a request comes from, behind the proxies that are trusted and no others.

Takes   the WSGI environment;  TRUSTED_PROXIES: addresses and networks
Gives   ClientAddress: the caller's IPv4 address, or IPv6 network of 64 bits; None where it cannot be told
Raises  ValueError for what is no network, at the start
Not     who the caller is: an address is shared by thousands of phones behind one carrier
Source  RFC 7239 §7.4 (order of proxies); RFC 4291 §2.5.5.2 (IPv4-mapped); docs/contracts/user-data.md §5

Each proxy adds on the right what it has seen. Only what trusted proxies have added is believed: the rightmost entry
that is none of them is the caller, and what stands left of it anybody can have written.
"""

import re
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# More proxies than anybody has; a field of 128 KiB has room for ten thousand entries.
_MAX_HOPS: Final = 32
_MAPPED_BITS: Final = 96
_HOST_BITS: Final = 64
# Some proxies write the port too: 192.0.2.1:443, [2001:db8::1]:443.
_BRACKETED: Final = re.compile(r"\[([^\]]*)\](?::[0-9]{1,5})?")
_WITH_PORT: Final = re.compile(r"([0-9.]+):[0-9]{1,5}")


class ClientAddress:
    """Finds the caller's address; the same for every request of an application."""

    def __init__(self, trusted_proxies: Iterable[str] = ()) -> None:
        self._trusted = tuple(_network(proxy) for proxy in trusted_proxies)

    def __call__(self, environ: Mapping[str, Any]) -> str | None:
        """Return the name by which a caller's address is counted."""
        found = _parsed(environ.get("REMOTE_ADDR") or "")
        if found is None:
            # A socket of this machine's file system has no address.
            return None
        if self._trusts(found):
            found = self._behind(found, environ.get("HTTP_X_FORWARDED_FOR") or "")
        return _name(found)

    def _behind(self, proxy: Address, field: str) -> Address:
        """Walk from the nearest hop to the farthest, and end at the first that is not trusted."""
        found = proxy
        for entry in reversed(field.rsplit(",", _MAX_HOPS)[-_MAX_HOPS:]):
            address = _parsed(entry)
            if address is None:
                # Nothing can be said of what lies behind: the proxy that has passed this on stands for it.
                return found
            found = address
            if not self._trusts(address):
                return found
        return found

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self._trusted)


def _parsed(text: str) -> Address | None:
    text = text.strip(" \t")
    with_port = _BRACKETED.fullmatch(text) or _WITH_PORT.fullmatch(text)
    try:
        address = ip_address(with_port[1] if with_port else text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        # Without the interface's name, which means something on one machine only.
        address = IPv6Address(int(address))
        return address.ipv4_mapped or address
    return address


def _network(text: str) -> Network:
    network = ip_network(text)
    if isinstance(network, IPv6Network) and network.prefixlen >= _MAPPED_BITS:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((mapped, network.prefixlen - _MAPPED_BITS))
    return network


def _name(address: Address) -> str:
    """One customer has 64 bits of IPv6 at least, and can take another address for every request."""
    if isinstance(address, IPv4Address):
        return str(address)
    return f"{IPv6Address(int(address) >> _HOST_BITS << _HOST_BITS)}/{_HOST_BITS}"
