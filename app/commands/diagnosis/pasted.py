"""Find the token in what a person has pasted.

Takes   text: a bare token, an `Authorization` line, a request that holds one, or a tenant's whole token response
Gives   Pasted: the value of the Authorization field as an app would send it, and what was done to get there
Raises  NothingToJudge(why), one sentence without any part of the text
Not     reading the terminal (hidden_input.py), any check of the token
Source  RFC 6749 §5.1, §5.2; RFC 6750 §2.1
"""

import json
import re
from dataclasses import dataclass
from typing import Any

_FIELD = re.compile(r"authorization\s*:[ \t]*([^\r\n]*)", re.IGNORECASE)
_SCHEME = re.compile(r"(bearer|dpop)\s", re.IGNORECASE)
_QUOTES = "\"'`"


class NothingToJudge(Exception):  # noqa: N818 - named by what was found
    """There is no token in the text."""


@dataclass(frozen=True, slots=True)
class Pasted:
    """What the API would be sent."""

    field_value: str
    """Of the Authorization field."""
    notes: tuple[str, ...] = ()
    """What the person should know about how the token was found."""
    names_no_scheme: bool = False
    """Whether nothing says by which scheme the token is sent; the field then says Bearer."""


def read(text: str) -> Pasted:
    """Find the token."""
    content = text.strip().removeprefix("\ufeff")
    if not content:
        raise NothingToJudge("nothing was given: pipe the access token in, or paste it at the prompt")
    response = _json_object(content)
    if response is not None:
        return _from_response(response)
    field = _FIELD.search(content)
    if field is not None:
        # A line of curl ends in the quote that began before the name of the field.
        return Pasted(re.sub(rf"[{_QUOTES}].*$", "", field[1].strip()))
    if _SCHEME.match(content):
        return Pasted(content)
    bare = content.strip(_QUOTES)
    if bare != content:
        note = "quotes around the token were left out: the app must not send them"
        return Pasted(f"Bearer {bare}", (note,), names_no_scheme=True)
    return Pasted(f"Bearer {bare}", names_no_scheme=True)


def _json_object(content: str) -> dict[str, Any] | None:
    if not content.startswith("{"):
        return None
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        raise NothingToJudge("this looks like a JSON document and is none: paste the whole token response") from None
    return value if isinstance(value, dict) else None


def _from_response(response: dict[str, Any]) -> Pasted:
    """Take the access token of a token response; where there is none, the token that an app may have sent instead."""
    found = {name: response.get(name) for name in ("access_token", "id_token", "refresh_token")}
    given = {name: value for name, value in found.items() if isinstance(value, str) and value}
    if "access_token" in given:
        note = "access_token of the token response is what is judged"
        return Pasted(f"Bearer {given['access_token']}", (note,), names_no_scheme=True)
    if "error" in response:
        raise NothingToJudge("this is the tenant's refusal (it has `error`), with no token in it: the login has failed")
    for name, token in given.items():
        note = f"the token response holds no access_token; its {name} is judged, which no API accepts"
        return Pasted(f"Bearer {token}", (note,))
    raise NothingToJudge("this JSON document holds no access_token: paste the tenant's whole token response")
