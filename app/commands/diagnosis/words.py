"""Words that several explanations share: a value as it stands, and how two names differ.

Takes   JSON values, URLs
Gives   texts
Raises  nothing
Not     making them harmless for a terminal (app/commands/screen.py does that to all that is shown)
"""

import json
import re
from typing import Any

from app.fetch import FetchFailed
from app.oauth.keys.download import DownloadFailed

_LONGEST = 160


def quoted(value: Any) -> str:
    """Return a value as JSON, cut where it is long."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters)"


def listed(values: Any) -> str:
    """Return several values, one after the other."""
    return ", ".join(quoted(value) for value in values)


def kind_of_value(value: Any) -> str:
    """Name the JSON type of a value."""
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def short(failure: FetchFailed | DownloadFailed) -> str:
    """Say why no answer came: the fixed word, and the end of what the library says, where the cause stands."""
    cause = re.sub(r"^\[Errno -?\d+\] ", "", failure.detail.rpartition(": ")[2])
    return f"{failure.why} ({cause})" if cause else failure.why


def slight_difference(said: str, expected: str) -> str | None:
    """Say by what alone two names differ; None if they are simply two."""
    if said.strip() == expected.strip():
        return "by blanks around it"
    if said.rstrip("/") == expected.rstrip("/"):
        return "by its trailing slash"
    if said.casefold() == expected.casefold():
        return "by upper and lower case"
    if _without_scheme(said) == _without_scheme(expected):
        schemes = (said.partition("://")[0], expected.partition("://")[0])
        return f"by {schemes[0]} instead of {schemes[1]}" if all(schemes) else "by its scheme"
    if _bare(said) == _bare(expected):
        return "by its scheme, its trailing slash or upper and lower case"
    return None


def nearest(said: str, expected: Any) -> tuple[str, str] | None:
    """Return the expected name that differs slightly, and by what."""
    for name in expected:
        by_what = slight_difference(said, name)
        if by_what is not None:
            return name, by_what
    return None


def _without_scheme(url: str) -> str:
    return url.partition("://")[2] if "://" in url else url


def _bare(url: str) -> str:
    return _without_scheme(url.strip().casefold()).rstrip("/")
