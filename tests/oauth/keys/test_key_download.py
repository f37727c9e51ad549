"""One download: discovery and key set under one deadline, and every failure has a name."""

from collections.abc import Iterator

import pytest

from app.oauth.keys.download import DownloadFailed, KeyDownload, max_age_seconds
from tests.support.issuer import (
    DISCOVERY,
    DOWN,
    JWKS,
    KEYLESS,
    MALFORMED,
    OVERSIZED,
    SILENT,
    TRUNCATED,
    UNAVAILABLE,
    Fault,
    Issuer,
)
from tests.support.tokens import ec_key, new_rsa_key, rsa_key


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer(rsa_key()) as running:
        yield running


def why(download: KeyDownload) -> str:
    with pytest.raises(DownloadFailed) as caught:
        download()
    return caught.value.why


def test_download_when_all_is_well_brings_the_keys(issuer: Issuer):
    issuer.cache_control = "public, max-age=15, stale-while-revalidate=15"
    issuer.rotate(rsa_key(), ec_key())
    download = KeyDownload(issuer.url, ("RS256",))()
    assert download.keys.kids() == ("rsa-1",)
    assert dict(download.keys.skipped) == {"algorithm": 1}
    assert download.max_age_seconds == 15
    assert download.userinfo_endpoint == f"{issuer.origin}/userinfo"
    assert issuer.requests == {DISCOVERY: 1, JWKS: 1}


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (DOWN, "unreachable"),
        (UNAVAILABLE, "status"),
        (Fault(status=302, headers={"Location": "/jwks"}), "status"),
        (Fault(status=204, body=b""), "status"),
        (Fault(content_type="text/html"), "content_type"),
        (MALFORMED, "malformed"),
        (TRUNCATED, "broken"),
        (OVERSIZED, "oversized"),
        (KEYLESS, "no_usable_key"),
        (Fault(body=b""), "malformed"),
    ],
)
def test_download_when_the_key_set_is_bad_says_why(issuer: Issuer, fault: Fault, reason: str):
    """K5: "A failed, empty, malformed, oversized, truncated or keyless answer never replaces a good set."; K2"""
    issuer.jwks = fault
    assert why(KeyDownload(issuer.url, ("RS256",))) == reason


def test_download_when_every_key_is_unusable_says_so(issuer: Issuer):
    issuer.rotate(new_rsa_key(bits=1024))
    assert why(KeyDownload(issuer.url, ("RS256",))) == "no_usable_key"


@pytest.mark.parametrize(("fault", "reason"), [(DOWN, "unreachable"), (UNAVAILABLE, "discovery_status")])
def test_download_when_discovery_fails_asks_for_no_keys(issuer: Issuer, fault: Fault, reason: str):
    issuer.discovery = fault
    assert why(KeyDownload(issuer.url, ("RS256",))) == reason
    assert issuer.requests[JWKS] == 0


def test_download_when_the_document_is_anothers_says_issuer_mismatch(issuer: Issuer):
    """K1: "The document's `issuer` must equal the configured one exactly, slash included"."""
    issuer.metadata = {"issuer": issuer.url.removesuffix("/")}
    assert why(KeyDownload(issuer.url, ("RS256",))) == "issuer_mismatch"


def test_download_when_the_keys_are_of_another_origin_needs_it_allowed(issuer: Issuer):
    """K1: "`jwks_uri` must be of the issuer's origin, or of one in `JWKS_ALLOWED_ORIGINS`"."""
    with Issuer(rsa_key("elsewhere")) as elsewhere:
        issuer.metadata = {"jwks_uri": elsewhere.origin + JWKS}
        assert why(KeyDownload(issuer.url, ("RS256",))) == "jwks_uri"
        assert elsewhere.requests.total() == 0
        allowed = KeyDownload(issuer.url, ("RS256",), allowed_origins=(elsewhere.origin,))
        assert allowed().keys.kids() == ("elsewhere",)


@pytest.mark.parametrize("where", ["discovery", "jwks"])
@pytest.mark.parametrize("fault", [SILENT, Fault(drips="headers"), Fault(drips="body")])
def test_download_when_either_document_is_slow_ends_at_the_deadline(issuer: Issuer, where: str, fault: Fault):
    """K2: "whole fetch `JWKS_TIMEOUT_SECONDS` (a deadline, not per read)"."""
    setattr(issuer, where, fault)
    assert why(KeyDownload(issuer.url, ("RS256",), timeout_seconds=0.3)) == "timeout"


def test_download_when_discovery_took_all_the_time_leaves_the_keys(issuer: Issuer):
    """K2: the deadline is for both documents together."""
    now = [0.0]

    def take_time(_path: str) -> None:
        now[0] += 5.0

    issuer.on_request = take_time
    assert why(KeyDownload(issuer.url, ("RS256",), timeout_seconds=5.0, clock=lambda: now[0])) == "timeout"
    assert issuer.requests == {DISCOVERY: 1}


def test_download_when_discovery_took_most_of_the_time_leaves_the_keys_the_rest(issuer: Issuer):
    """K2: "whole fetch `JWKS_TIMEOUT_SECONDS` (a deadline, not per read)", nor per document."""
    now = [0.0]

    def take_time(_path: str) -> None:
        now[0] += 7.75

    issuer.on_request = take_time
    issuer.jwks = Fault(drips="body")
    with pytest.raises(DownloadFailed, match=r"timeout: no complete answer within 0\.25 s"):
        KeyDownload(issuer.url, ("RS256",), timeout_seconds=8.0, clock=lambda: now[0])()


@pytest.mark.parametrize(
    ("cache_control", "seconds"),
    [
        ("", None),
        ("public", None),
        ("max-age=15", 15),
        ("public, Max-Age=600, must-revalidate", 600),
        ('max-age="600"', 600),
        ("max-age = 60", 60),
        ("max-age=600, max-age=60", 60),
        ("no-store", 0),
        ("no-cache, max-age=600", 0),
        ('private="set-cookie, max-age=5", max-age=60', 60),
        ("s-maxage=600", None),
        ("max-age", None),
        ("max-age=", None),
        ("max-age=-1", None),
        ("max-age=+1", None),
        ("max-age=1.5", None),
        ("max-age=1_0", None),
        ("max-age=٣", None),
        ("max-age=²", None),
        ("max-age=" + "9" * 5000, 9_999_999_999),
        (",,;=,", None),
    ],
)
def test_max_age_reads_what_cache_control_says(cache_control: str, seconds: int | None):
    """RFC 9111 §5.2.2.1; §4.2.1: with duplicates "either use the first occurrence […] or consider it stale"."""
    assert max_age_seconds(cache_control) == seconds


def test_failure_reads_well_with_and_without_detail():
    assert str(DownloadFailed("timeout", "late")) == "timeout: late"
    assert str(DownloadFailed("timeout")) == "timeout"
