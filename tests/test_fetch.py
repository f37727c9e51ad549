"""The one bounded GET, against a real server that keeps to no bound."""

import datetime as dt
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from app import fetch
from app.fetch import FetchFailed, Response
from tests.support.issuer import JWKS, Fault, Issuer
from tests.support.tokens import rsa_key

TYPES = ("application/jwk-set+json", "application/json")


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer(rsa_key()) as running:
        yield running


def get(issuer: Issuer, *, timeout_seconds: float = 10.0, max_bytes: int = 262_144) -> Response:
    return fetch.get(issuer.origin + JWKS, timeout_seconds=timeout_seconds, accepted_types=TYPES, max_bytes=max_bytes)


def why(issuer: Issuer, *, timeout_seconds: float = 10.0) -> str:
    with pytest.raises(FetchFailed) as caught:
        get(issuer, timeout_seconds=timeout_seconds)
    return caught.value.why


def test_get_when_the_answer_is_good_returns_it(issuer: Issuer):
    issuer.cache_control = "max-age=15"
    response = get(issuer)
    assert response.status == 200
    assert b'"kid": "rsa-1"' in response.body
    assert response.headers["cache-control"] == "max-age=15"
    assert response.received_at > 1_700_000_000


def test_get_sends_the_query_and_the_given_headers(issuer: Issuer):
    response = fetch.get(
        f"{issuer.origin}/userinfo?a=b",
        timeout_seconds=10.0,
        accepted_types=TYPES,
        headers={"Authorization": "Bearer t"},
    )
    assert response == Response(404, response.headers, b"", response.received_at)
    assert issuer.requests == {"/userinfo?a=b": 1}
    assert issuer.seen_headers[0]["authorization"] == "Bearer t"
    assert issuer.seen_headers[0]["accept"] == "application/jwk-set+json, application/json"


def test_get_when_the_address_has_no_path_asks_for_the_root(issuer: Issuer):
    fetch.get(issuer.origin, timeout_seconds=10.0, accepted_types=TYPES)
    assert issuer.requests == {"/": 1}


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_get_when_redirected_does_not_follow(issuer: Issuer, status: int):
    """K2: "No redirects, no proxy variables"."""
    issuer.jwks = Fault(status=status, headers={"Location": f"{issuer.origin}/elsewhere"})
    response = get(issuer)
    assert (response.status, response.body) == (status, b"")
    assert issuer.requests == {JWKS: 1}


def test_get_when_proxy_variables_are_set_ignores_them(issuer: Issuer, monkeypatch: pytest.MonkeyPatch):
    """K2: "No redirects, no proxy variables"."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    assert get(issuer).status == 200


@pytest.mark.parametrize("where", ["headers", "body", "silence"])
def test_get_when_the_server_drips_is_cut_at_the_deadline(issuer: Issuer, where: str):
    """K2: "whole fetch `JWKS_TIMEOUT_SECONDS` (a deadline, not per read)": each byte comes well within it."""
    issuer.jwks = Fault(drips=where)
    assert why(issuer, timeout_seconds=0.3) == "timeout"
    # The thread ends too, although the server would drip for ever: the connection was cut under it.
    for thread in threading.enumerate():
        if thread.name == "postern-fetch":
            thread.join(10)
            assert not thread.is_alive()


def test_get_when_the_deadline_passes_before_the_connection_stands_drops_it(issuer: Issuer):
    """A name look-up has no time-out: the caller has gone on when the thread comes back from it."""
    exchange = fetch._Exchange(fetch._Request(fetch._checked(issuer.origin), 5.0, 2.0, 1, TYPES, {}))
    exchange.cut()
    exchange.run()
    assert exchange.failure.why == "timeout"
    assert issuer.requests == {}


def test_get_when_nobody_accepts_the_connection_fails_within_the_connect_timeout():
    """K2: "Connect 2 s". A full backlog drops what comes next without a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        port = server.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for client in waiting:
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", port))
        try:
            with pytest.raises(FetchFailed) as caught:
                fetch.get(
                    f"http://127.0.0.1:{port}/",
                    timeout_seconds=30.0,
                    connect_timeout_seconds=0.2,
                    accepted_types=TYPES,
                )
        finally:
            for client in waiting:
                client.close()
    assert caught.value.why == "timeout"
    assert caught.value.detail == "ConnectTimeoutError"


def test_get_when_the_body_is_over_the_cap_stops_reading(issuer: Issuer):
    """K2: "256 KiB"."""
    issuer.jwks = Fault(body=b"x" * 1025)
    with pytest.raises(FetchFailed) as caught:
        get(issuer, max_bytes=1024)
    assert caught.value.why == "oversized"
    issuer.jwks = Fault(body=b"x" * 1024)
    assert len(get(issuer, max_bytes=1024).body) == 1024


@pytest.mark.parametrize("chunked", [False, True])
def test_get_when_the_body_is_truncated_fails(issuer: Issuer, chunked: bool):
    issuer.jwks = Fault(truncated=True, chunked=chunked)
    assert why(issuer) == "broken"


def test_get_when_the_body_is_chunked_reads_it(issuer: Issuer):
    issuer.jwks = Fault(chunked=True)
    assert b"rsa-1" in get(issuer).body


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/jwk-set+json", "Application/JSON; charset=utf-8"]
)
def test_get_when_the_type_is_accepted_passes(issuer: Issuer, content_type: str):
    """K2: "`application/json` and `application/jwk-set+json`"."""
    issuer.jwks = Fault(content_type=content_type)
    assert get(issuer).status == 200


@pytest.mark.parametrize("content_type", ["text/html", "", "application/jsonp", "text/plain; application/json"])
def test_get_when_the_type_is_another_fails(issuer: Issuer, content_type: str):
    """A captive portal answers 200 with a page."""
    issuer.jwks = Fault(content_type=content_type)
    assert why(issuer) == "content_type"


@pytest.mark.parametrize("encoding", ["gzip", "br", "x-unknown", "gzip, identity"])
def test_get_when_the_answer_is_compressed_refuses_to_unpack(issuer: Issuer, encoding: str):
    """A compressed answer of 256 KiB can hold gigabytes; none was asked for."""
    issuer.jwks = Fault(headers={"Content-Encoding": encoding})
    assert why(issuer) == "encoding"
    assert issuer.seen_headers[0]["accept-encoding"] == "identity"


def test_get_when_the_server_hangs_up_fails(issuer: Issuer):
    issuer.jwks = Fault(drops=True)
    assert why(issuer) == "unreachable"


def test_get_when_nobody_listens_fails():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(FetchFailed) as caught:
        fetch.get(f"http://127.0.0.1:{port}/", timeout_seconds=10.0, accepted_types=TYPES)
    assert caught.value.why == "unreachable"


def test_get_when_a_header_would_smuggle_another_fails_without_a_request(issuer: Issuer):
    with pytest.raises(FetchFailed) as caught:
        fetch.get(issuer.origin, timeout_seconds=10.0, accepted_types=TYPES, headers={"A": "b\r\nC: d"})
    assert caught.value.why == "broken"
    assert issuer.requests == {}


def test_get_when_no_thread_can_be_started_fails(issuer: Issuer, monkeypatch: pytest.MonkeyPatch):
    """A process at its limit of threads answers 503, not 500."""

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        assert why(issuer) == "unreachable"


@pytest.mark.parametrize(
    "url",
    [
        "http://tenant.example/jwks",
        "http://10.0.0.1/jwks",
        "http://localhost.example/jwks",
        "http://127.0.0.1.example/jwks",
        "ftp://127.0.0.1/jwks",
        "file:///etc/passwd",
        "//127.0.0.1/jwks",
        "https:///jwks",
        "https://user@tenant.example/",
        "https://user:word@tenant.example/",
        "https://:word@tenant.example/",
        "https://tenant.example:port/",
        "https://[::1/",
        "",
    ],
)
def test_get_when_the_address_is_not_https_or_loopback_fails_without_a_request(url: str):
    """K2: "https only, except for a loopback issuer"."""
    with pytest.raises(FetchFailed) as caught:
        fetch.get(url, timeout_seconds=10.0, accepted_types=TYPES)
    assert caught.value.why == "address"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.10", "::1"])
def test_is_loopback_when_only_this_machine_can_be_meant(host: str):
    assert fetch.is_loopback(host)


def test_get_when_the_certificate_is_not_trusted_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """K2: "https only": the chain is verified, and so is the name, whatever urllib3's defaults become."""
    with Issuer(rsa_key(), tls=_certificate(tmp_path, ipaddress.ip_address("127.0.0.1"))) as issuer:
        assert why(issuer) == "tls"
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
        assert get(issuer).status == 200
        issuer.jwks = Fault(drips="body")
        assert why(issuer, timeout_seconds=0.5) == "timeout"
    with Issuer(rsa_key(), tls=_certificate(tmp_path, ipaddress.ip_address("127.0.0.2"))) as issuer:
        assert why(issuer) == "tls"


def _certificate(folder: Path, address: ipaddress.IPv4Address) -> ssl.SSLContext:
    private_key = rsa_key().private_key
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private_key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(address)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(private_key, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        private_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return context
