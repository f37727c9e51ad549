"""How an address is written before it is compared: RFC 3986 §6.2 and WSGI's decoded paths."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.oauth.dpop.url import normalised, of_request

HERE = "https://api.example/v1/me"


@pytest.mark.parametrize(
    "url",
    [
        HERE,
        "HTTPS://api.example/v1/me",
        "https://API.Example/v1/me",
        "https://api.example:443/v1/me",
        "https://api.example:0443/v1/me",
        "https://api.example:/v1/me",
        "https://api.example/v1/me?",
        "https://api.example/v1/me?a=b&c=/../",
        "https://api.example/v1/me#x?y",
        "https://api.example/%76%31/m%65",
        "https://api.example/./v1/./me",
        "https://api.example/x/../v1/me",
        "https://api.example/x/%2E%2e/v1/me",
        "https://api.example/../../v1/me",
        "https://api%2Eexample/v1/me",
    ],
)
def test_url_when_it_names_the_same_resource_then_it_is_written_in_one_way(url: str):
    """RFC 3986 §6.2.2: case, percent-encoding and path segments; §6.2.3: an empty or default port."""
    assert normalised(url) == HERE


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example/v1/me",
        "https://api.example:8443/v1/me",
        "https://api.example:80/v1/me",
        "https://api.example:0/v1/me",
        "https://api.example./v1/me",
        "https://evil.example/v1/me",
        "https://api.example.evil.example/v1/me",
        "https://api.example/v1/Me",
        "https://api.example/v1/me/",
        "https://api.example//v1/me",
        "https://api.example/v1/me%2F",
        "https://api.example/v1/me%3Fx",
        "https://api.example/v1/me;x",
        "https://api.example/v1",
        "https://api.example",
        "https://xn--pi-fka.example/v1/me",
        # An encoded colon is no port's (fuzzing found it).
        "https://api.example%3A443/v1/me",
        "https://api.example%3A/v1/me",
    ],
)
def test_url_when_it_names_another_resource_then_it_differs(url: str):
    assert normalised(url) not in (None, HERE)


@pytest.mark.parametrize("url", ["https://%3A:/a", "https://%5B::1%5D/a", "https://[::1]/a", "https://[::A]:8443/a"])
def test_url_when_its_host_is_unusual_then_what_is_written_is_written_the_same_again(url: str):
    """RFC 3986 §2.2: a delimiter that is encoded is data, and would be a delimiter if it were not."""
    written = normalised(url)
    assert written is None or normalised(written) == written
    assert normalised("https://%3A:/a") == "https://%3A/a"
    assert normalised("https://[::A]:8443/a") == "https://[::a]:8443/a"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/v1/me",
        "//api.example/v1/me",
        "api.example/v1/me",
        "https:/api.example/v1/me",
        "https:api.example/v1/me",
        "https:///v1/me",
        "https://:443/v1/me",
        "ftp://api.example/v1/me",
        "javascript:alert(1)",
        "https://user@api.example/v1/me",
        "https://user:secret@api.example/v1/me",
        "https://api.example@evil.example/v1/me",
        "https://api.example\\@evil.example/v1/me",
        "https://api.example\\v1\\me",
        "https://api.example/v1\\me",
        "https://api.example:44a/v1/me",
        "https://api.example:443:443/v1/me",
        "https://api.example:4430000/v1/me",
        "https://[::1/v1/me",
        "https://[::1]x/v1/me",
        "https://[x]/v1/me",
        "https://api.example/v1/%",
        "https://api.example/v1/%4",
        "https://api.example/v1/%zz",
        "https://api.example/v1/m e",
        " https://api.example/v1/me",
        "https://api.example/v1/me\n",
        "https://api.example/v1/\x00",
        "https://\u00e4pi.example/v1/me",
        "https://\u0430pi.example/v1/me",
        "https://api.example/v1/m\u00e9",
        "https://api\u3002example/v1/me",
        "\u017fhttps://api.example/v1/me",
    ],
)
def test_url_when_it_is_no_http_url_then_it_has_no_address(url: str):
    """P1: user info, IDN that is not in its ASCII form, backslashes, half a percent: nothing to compare with."""
    assert normalised(url) is None


def test_url_when_the_host_is_an_address_then_it_is_kept():
    assert normalised("http://127.0.0.1:8000/v1") == "http://127.0.0.1:8000/v1"
    assert normalised("HTTP://[::FF]:80/v1") == "http://[::ff]/v1"


@pytest.mark.parametrize(
    ("path", "written"),
    [
        ("", "/"),
        ("/", "/"),
        ("/.", "/"),
        ("/..", "/"),
        ("/a/.", "/a/"),
        ("/a/..", "/"),
        ("/a/b/..", "/a/"),
        ("/a/./b/../c", "/a/c"),
        ("/a//../b", "/a/b"),
        ("//", "//"),
        ("/...", "/..."),
        ("/a..b/.c", "/a..b/.c"),
    ],
)
def test_path_when_it_has_dots_then_they_are_resolved(path: str, written: str):
    """RFC 3986 §5.2.4; §6.2.3: an empty path should be normalized to "/"."""
    assert normalised("https://api.example" + path) == "https://api.example" + written


@pytest.mark.parametrize(
    ("path_info", "htu"),
    [
        ("/v1/me", "https://api.example/base/v1/me"),
        ("/", "https://api.example/base/"),
        ("/v1/a b", "https://api.example/base/v1/a%20b"),
        ("/v1/a/b", "https://api.example/base/v1/a%2Fb"),
        ("/v1/a%2Fb", "https://api.example/base/v1/a%252Fb"),
        ("/v1/a?b", "https://api.example/base/v1/a%3Fb"),
        ("/v1/\u00c3\u00a9", "https://api.example/base/v1/%C3%A9"),
        ("/v1/\u00c3\u00a9", "https://api.example/base/v1/%c3%a9"),
        ("/v1/\u00ff", "https://api.example/base/v1/%FF"),
        ("/v1/~a_b-c.d", "https://api.example/base/v1/%7Ea%5Fb%2Dc%2Ed"),
        ("/v1/a:b@c,d;e", "https://api.example/base/v1/a:b@c,d;e"),
        ("/v1/a|b", "https://api.example/base/v1/a|b"),
    ],
)
def test_request_when_wsgi_gives_its_path_decoded_then_it_is_written_as_the_apps_address(path_info: str, htu: str):
    """PEP 3333: native strings hold code points representable in ISO-8859-1; P1: on every WSGI server."""
    assert of_request("https://api.example/base", path_info) == normalised(htu)


def test_request_when_a_server_has_decoded_utf_8_then_it_is_understood_too():
    assert of_request("https://api.example", "/\u20ac") == normalised("https://api.example/%E2%82%AC")


def test_request_when_its_path_has_dots_then_no_other_proof_serves_for_it():
    """Routes see the dots: a proof for /v1/me must not serve for a request to /v1/x/../me."""
    assert of_request("https://api.example", "/v1/x/../me") != HERE


def test_request_when_its_path_is_none_then_it_is_no_other_host():
    """`OPTIONS *` has no path: it must not lengthen the host."""
    assert of_request("https://api.example", "*") == "https://api.example/%2A"
    assert of_request("https://api.example", ".evil.example/") == "https://api.example/.evil.example/"
    assert of_request("https://api.example", "") == "https://api.example/"


@given(st.binary(max_size=30))
def test_request_whatever_its_path_then_the_app_can_name_it(path: bytes):
    """Every path that has no dots has an address that an app can write."""
    address = of_request("https://api.example", "/x" + path.decode("latin-1"))
    if not {b".", b".."} & set((b"/x" + path).split(b"/")):
        assert normalised(address) == address


@given(st.text(max_size=60) | st.from_regex(r"https?://[!-~]{0,40}", fullmatch=True))
def test_url_whatever_it_is_then_it_is_written_once_and_for_all(url: str):
    written = normalised(url)
    if written is not None:
        assert normalised(written.replace("%25", "%2525")) is not None
        assert written.startswith(("http://", "https://"))


def test_of_request_when_the_server_has_decoded_the_path_itself_then_its_bytes_come_back():
    """PEP 3333, "Unicode Issues": what was no UTF-8 stands there as half a surrogate, and is the byte that it was."""
    assert of_request("https://api.example", "/\u20ac\udcff") == "https://api.example/%E2%82%AC%FF"
