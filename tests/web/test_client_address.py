"""Which address a bad token is counted under: nobody may choose it, and no entry may break the request."""

from typing import Any

import pytest

from app.web.client_address import ClientAddress

PROXIES = ("10.0.0.0/8", "2001:db8:ffff::/48", "192.0.2.1")


def address_of(remote: str | None, forwarded: str | None = None, proxies: tuple[str, ...] = PROXIES) -> str | None:
    environ: dict[str, Any] = {"REMOTE_ADDR": remote, "HTTP_X_FORWARDED_FOR": forwarded}
    return ClientAddress(proxies)({name: value for name, value in environ.items() if value is not None})


def test_address_when_no_proxy_is_trusted_then_the_field_is_not_looked_at():
    assert address_of("198.51.100.7", "203.0.113.9", proxies=()) == "198.51.100.7"


def test_address_when_the_peer_is_no_trusted_proxy_then_what_it_says_is_not_believed():
    assert address_of("198.51.100.7", "203.0.113.9") == "198.51.100.7"


@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("1.1.1.1, 203.0.113.9", "203.0.113.9"),
        ("1.1.1.1, 203.0.113.9, 10.2.2.2", "203.0.113.9"),
        ("1.1.1.1,203.0.113.9,192.0.2.1,10.2.2.2", "203.0.113.9"),
        ("1.1.1.1, 203.0.113.9\t, 2001:db8:ffff::5", "203.0.113.9"),
    ],
)
def test_address_when_proxies_are_trusted_then_it_is_the_rightmost_that_is_none_of_them(forwarded: str, expected: str):
    """§5: what stands left of it the client may have written itself."""
    assert address_of("10.0.0.1", forwarded) == expected


@pytest.mark.parametrize("forwarded", [None, "", "  ", ","])
def test_address_when_the_proxy_says_nothing_then_the_proxy_stands_for_it(forwarded: str | None):
    assert address_of("10.0.0.1", forwarded) == "10.0.0.1"


def test_address_when_all_hops_are_trusted_then_it_is_the_farthest():
    assert address_of("10.0.0.1", "10.9.9.9, 10.2.2.2") == "10.9.9.9"


@pytest.mark.parametrize(
    "entry",
    ["unknown", "_hidden", "256.1.1.1", "1.2.3", "::g", "[::1", "%", "1.2.3.4:x", "\x00", "\u0661.2.3.4", "a" * 9000],
    ids=lambda entry: ascii(entry[:9]),
)
def test_address_when_an_entry_is_malformed_then_nothing_behind_it_counts(entry: str):
    """§5: malformed entries are safe: the last proxy that is known stands for what lies behind."""
    assert address_of("10.0.0.1", f"203.0.113.9, {entry}, 10.2.2.2") == "10.2.2.2"


def test_address_when_there_are_too_many_hops_then_the_walk_ends():
    assert address_of("10.0.0.1", ",".join(["203.0.113.9", *["10.2.2.2"] * 31])) == "203.0.113.9"
    assert address_of("10.0.0.1", ",".join(["203.0.113.9", *["10.2.2.2"] * 32])) == "10.2.2.2"


@pytest.mark.parametrize("entry", ["203.0.113.9:65000", "[::ffff:203.0.113.9]:443", "::ffff:203.0.113.9"])
def test_address_when_a_proxy_writes_the_port_or_maps_ipv4_then_it_is_the_same_address(entry: str):
    assert address_of("10.0.0.1", entry) == "203.0.113.9"


def test_address_when_the_proxy_itself_is_mapped_then_it_is_trusted_all_the_same():
    """A server that listens on [::] sees IPv4 peers as IPv6 addresses."""
    assert address_of("::ffff:10.0.0.1", "203.0.113.9") == "203.0.113.9"
    assert address_of("10.0.0.1", "203.0.113.9", proxies=("::ffff:10.0.0.0/104",)) == "203.0.113.9"


def test_address_when_ipv6_then_a_network_of_64_bits_counts_as_one():
    """§5: one customer has that many addresses to choose from."""
    first, second = address_of("2001:db8:1:2::3"), address_of("2001:db8:1:2:ffff:ffff:ffff:ffff")
    assert first == second == "2001:db8:1:2::/64"
    assert address_of("2001:db8:1:3::3") != first


def test_address_when_it_names_an_interface_then_the_name_does_not_matter():
    assert address_of("fe80::1%eth0") == address_of("fe80::1%eth1") == "fe80::/64"


@pytest.mark.parametrize("remote", [None, "", "/run/socket", "localhost"])
def test_address_when_the_peer_has_none_then_it_cannot_be_told(remote: str | None):
    assert address_of(remote, "203.0.113.9") is None
