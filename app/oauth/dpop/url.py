"""Write the address of a request, and what a proof says of it, in one way, so that they can be compared.

Takes   htu: str, from anyone;  the path as WSGI gives it: decoded, each byte a character
Gives   strings that are equal exactly where the resource is the same
Raises  nothing: what is no http or https URL has no address
Not     the Host field, which anyone can choose; query and fragment, which RFC 9449 §4.3 ignores
Source  RFC 3986 §5.2.4, §6.2.2, §6.2.3; RFC 9449 §4.3; PEP 3333 "Unicode Issues"; docs/contracts/tokens.md P1

WSGI has no encoded path: `%2F` and `/` reach the routes, and this room, as the same thing. Paths are therefore decoded
once on both sides, and compared by their bytes.
"""

import re
from typing import Final
from urllib.parse import quote, unquote_to_bytes

# NOTE: no user name, no backslash, no blank: libraries differ in what host such an address has.
_URL: Final = re.compile(r"(https?)://([^/?#@\\ ]+)(/[^?#\\ ]*)?(?:[?#].*)?", re.ASCII | re.IGNORECASE)
_AUTHORITY: Final = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]]+)(?::([0-9]{0,5}))?", re.ASCII | re.IGNORECASE)
_BAD_PERCENT: Final = re.compile(r"%(?![0-9a-fA-F]{2})", re.ASCII)
_ENCODED_DOT: Final = re.compile(r"%2e", re.ASCII | re.IGNORECASE)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def normalised(url: str) -> str | None:
    """Return the one way to write this URL, without query and fragment; None for what is no http or https URL."""
    found = _URL.fullmatch(url) if url.isascii() and url.isprintable() else None
    if found is None or _BAD_PERCENT.search(url):
        return None
    scheme, authority, path = found[1].lower(), found[2], found[3] or "/"
    place = _AUTHORITY.fullmatch(authority)
    if place is None:
        return None
    # An address in brackets is written as it is. A colon or a bracket that stands encoded in a name stays so: it would
    # become a port.
    host = place[1].lower() if place[1].startswith("[") else quote(unquote_to_bytes(place[1]).lower(), safe="")
    port = int(place[2]) if place[2] else _DEFAULT_PORTS[scheme]
    suffix = "" if port == _DEFAULT_PORTS[scheme] else f":{port}"
    return f"{scheme}://{host}{suffix}{_written(unquote_to_bytes(_without_dots(path)))}"


def of_request(base: str, path_info: str) -> str:
    """Return the address of a request in the same way: `base` is a normalised URL without its last slash.

    The dots of a request are left as they are: routes see them, so a proof for `/a` must not serve for `/b/../a`.
    """
    try:
        path = path_info.encode("latin-1")
    except UnicodeEncodeError:
        # A server that does not keep to PEP 3333 has decoded it as UTF-8.
        path = path_info.encode("utf-8", "surrogateescape")
    # Without a slash it would go on with the host.
    return base + _written(path if path.startswith(b"/") else b"/" + path)


def _written(path: bytes) -> str:
    return quote(path, safe="/")


def _without_dots(path: str) -> str:
    """Remove `.` and `..` (§5.2.4), also where they are written as %2E (§6.2.2.2)."""
    segments = _ENCODED_DOT.sub(".", path).split("/")[1:]
    kept: list[str] = []
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in {".", ".."}:
        kept.append("")
    return "/" + "/".join(kept)
