"""Clause N2: one request on the exact path ends the wait, and nothing else does."""

import http.client
import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from native import pages
from native.errors import LoginFailed, SettingsError
from native.loopback import Loopback
from native.settings import Settings

CALLBACK = "http://127.0.0.1/callback"


def judge(answer: Mapping[str, str]) -> str:
    if answer.get("state") != "s":
        raise LoginFailed("The answer belongs to <another> login.")
    return answer["code"]


def ask(
    loopback: Loopback, target: str, method: str = "GET", host: str | None = None
) -> tuple[int, str, dict[str, str]]:
    where = urlsplit(loopback.redirect_uri)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=10)
    try:
        connection.request(method, target, headers={"Host": host or where.netloc})
        response = connection.getresponse()
        return response.status, response.read().decode(), dict(response.getheaders())
    finally:
        connection.close()


def test_wait_when_the_answer_comes_then_its_code() -> None:
    with Loopback(CALLBACK, judge) as loopback:
        status, page, _ = ask(loopback, "/callback?code=c&state=s")
        assert loopback.wait(10) == "c"

    assert status == 200
    assert "You can close this window" in page


@pytest.mark.parametrize(
    ("method", "target", "host"),
    [
        ("GET", "/favicon.ico", None),
        ("GET", "/", None),
        ("GET", "/callback/?code=x&state=s", None),
        ("GET", "/Callback?code=x&state=s", None),
        ("POST", "/callback?code=x&state=s", None),
        ("HEAD", "/callback?code=x&state=s", None),
        ("OPTIONS", "/callback", None),
        ("GET", "/callback?code=x&state=s", "evil.example"),
        ("GET", "/callback?code=x&state=s", "127.0.0.1:1"),
    ],
)
def test_wait_when_a_stray_request_comes_then_it_goes_on(method: str, target: str, host: str | None) -> None:
    """N2: one request on the exact path."""
    with Loopback(CALLBACK, judge) as loopback:
        status, _, _ = ask(loopback, target, method, host)
        assert status >= 400
        ask(loopback, "/callback?code=c&state=s")
        assert loopback.wait(10) == "c"


def test_wait_when_the_browser_opens_connections_ahead_then_they_do_not_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Browsers open a connection they may never use; a server with one thread would wait on it."""
    monkeypatch.setattr("native.loopback._Handler.timeout", None)
    with Loopback(CALLBACK, judge) as loopback:
        where = urlsplit(loopback.redirect_uri)
        with socket.create_connection((where.hostname, where.port)):
            ask(loopback, "/callback?code=c&state=s")
            assert loopback.wait(10) == "c"


def test_answer_when_it_comes_twice_then_only_the_first_counts() -> None:
    with Loopback(CALLBACK, judge) as loopback:
        ask(loopback, "/callback?code=c&state=s")
        status, _, _ = ask(loopback, "/callback?code=other&state=s")
        assert loopback.wait(10) == "c"

    assert status == 410


def test_answer_when_many_come_at_once_then_one_is_taken() -> None:
    with Loopback(CALLBACK, judge) as loopback, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: ask(loopback, f"/callback?code=c{n}&state=s")[0], range(8)))
        assert loopback.wait(10).startswith("c")

    assert sorted(answers) == [200] + [410] * 7


@pytest.mark.parametrize("query", ["code=c", "code=c&state=t", "code=c&code=d&state=s", ""])
def test_answer_when_it_is_a_bad_one_then_the_wait_ends_with_the_reason(query: str) -> None:
    """RFC 6749 §3.1: Request and response parameters MUST NOT be included more than once."""
    with Loopback(CALLBACK, judge) as loopback:
        status, page, _ = ask(loopback, f"/callback?{query}")
        with pytest.raises(LoginFailed):
            loopback.wait(10)

    assert status == 400
    assert "You are not logged in" in page


def test_page_when_shown_then_it_runs_nothing_and_leaks_nothing() -> None:
    """RFC 9700 §4.2.4: the page is shown at an address that holds the code."""
    with Loopback(CALLBACK, judge) as loopback:
        _, page, headers = ask(loopback, "/callback?code=c&state=<script>")

    assert "<script" not in page
    assert "&lt;another&gt;" in page
    assert 'name="viewport"' in page
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"


def test_page_when_received_then_nothing_is_fetched() -> None:
    page = pages.received().decode()

    assert "http" not in page.replace("<!doctype html>", "").replace("</html>", "").replace("<html", "")
    assert "src=" not in page


def test_wait_when_nobody_comes_then_it_ends() -> None:
    with Loopback(CALLBACK, judge) as loopback, pytest.raises(LoginFailed, match="in time"):
        loopback.wait(0.01)


def test_port_when_taken_then_it_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LoginFailed, match=str(port)):
            Loopback(f"http://127.0.0.1:{port}/callback", judge)


def test_ipv6_when_asked_for_then_served() -> None:
    """RFC 8252 §7.3: http://[::1]:{port}/{path}."""
    with Loopback("http://[::1]/callback", judge) as loopback:
        assert loopback.redirect_uri.startswith("http://[::1]:")
        ask(loopback, "/callback?code=c&state=s")
        assert loopback.wait(10) == "c"


@pytest.mark.parametrize(
    "callback",
    [
        "https://127.0.0.1/callback",
        "http://0.0.0.0/callback",
        "http://127.0.0.2/callback",
        "http://evil.example/callback",
        "http://127.0.0.1",
        "http://127.0.0.1/callback?x=1",
        "http://127.0.0.1:99999/callback",
        "com.example:/callback",
    ],
)
def test_callback_when_it_is_not_ours_then_refused(callback: str) -> None:
    """RFC 8252 §8.3: the redirect listens on the loopback interface only."""
    with pytest.raises(SettingsError):
        replace(Settings(), callback=callback)
