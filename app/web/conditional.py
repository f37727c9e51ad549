"""Versions of a resource in HTTP: ETag, If-Match, If-None-Match.

Takes   field values, the current version's number and entity-tag
Gives   entity-tags, the answer of a GET or 304 in its place, what a write expects to find under the user's lock
Raises  PreconditionFailed, where a GET asks for a version that is not the current one; NoEntityTags; WebProblem:
        a field of a write that names no versions, a field too long
Not     the numbers themselves (the domain's `seq`), the decision about a write (app/records/preconditions.py)
Source  RFC 9110 §5.6.1.2, §8.8.3, §13.1.1, §13.1.2, §13.2.2, §15.4.5; docs/contracts/user-data.md U2–U4, U13
"""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from flask import Response, request

from app.records.errors import PreconditionFailed
from app.records.preconditions import Precondition, Versions
from app.web.answers import PRIVATE, json_text
from app.web.problems import WebProblem

# Room for the versions that a device remembers, a cursor's among them; the document says it (openapi/parameters.py).
MAX_LENGTH = 8192
_TAG = re.compile(r'(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
# Empty elements of a list are skipped, as §5.6.1.2 asks of every recipient.
_LIST = re.compile(r'[ \t,]*(?:(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"[ \t]*(?:,[ \t,]*|$))+')
# The same, for those who write: a server takes more than it asks for.
TAGS_PATTERN = r'^(\*|(W/)?"[!#-~]*"([ \t]*,[ \t]*(W/)?"[!#-~]*")*)$'
# What proxies append when they compress: nginx and Apache `-gzip`, some `--gzip`, brotli modules `-br`.
_PROXY_SUFFIX = re.compile(r"--?(?:gzip|br|zstd|deflate)$")
# One line of the field, or several that a server has joined.
_STARS = re.compile(r"[ \t,]*\*[ \t]*(?:,[ \t,*]*)?")
_NUMBER = re.compile(r"(0|[1-9]\d{0,18})(?:-p)?", re.ASCII)
_NO_FIELDS: Mapping[str, str] = MappingProxyType({})


class NoEntityTags(ValueError):  # noqa: N818 - says what is the case
    """A write names no versions by what should name them."""

    def __init__(self) -> None:
        super().__init__('Must be * or entity-tags in double quotes, as in "17", with commas between.')


def entity_tag(seq: int, *, partial: bool = False) -> str:
    """Return the strong entity-tag of version `seq`; a form without the e-mail has one of its own (U13)."""
    return f'"{seq}-p"' if partial else f'"{seq}"'


def tags(value: str) -> frozenset[str]:
    """Return the opaque tags of a field, without weakness marks and proxies' suffixes; "*" stands for any.

    A value that is no list of entity-tags gives an empty set: it matches nothing. A `*` in quotes, which some clients
    send, is read as they mean it: nothing here ever has that tag.
    """
    if _STARS.fullmatch(value):
        return frozenset({"*"})
    if not _LIST.fullmatch(value):
        return frozenset()
    return frozenset(_PROXY_SUFFIX.sub("", tag) for tag in _TAG.findall(value))


def representation(
    etag: str, write: Callable[[], bytes], *, current: Any = None, more: Mapping[str, str] = _NO_FIELDS
) -> Response:
    """Answer a GET with the version of this tag, or 304 with the same fields (RFC 9110 §15.4.5).

    Args:
        etag: the strong entity-tag of what would be sent.
        write: gives it as JSON; not asked for a 304.
        current: what a 412 shows, where If-Match asks for another version.
        more: fields that stand beside the tag's and the caches'.
    """
    fields = {**PRIVATE, "ETag": etag, **more}
    return Response(status=304, headers=fields) if is_unmodified(etag, current) else json_text(write(), fields)


def is_unmodified(etag: str, current: Any = None) -> bool:
    """Tell whether this GET needs no more than a 304; `current` is what a 412 shows, where If-Match asks for another.

    RFC 9110 §13.2.2: If-Match decides first, then If-None-Match.
    """
    form = etag.strip('"')
    if_match, if_none_match = _field("If-Match"), _field("If-None-Match")
    if if_match is not None and not _names(if_match, form):
        raise PreconditionFailed(current)
    # The form itself and not its number: without the e-mail it never stands for the whole one (U13).
    return if_none_match is not None and bool(tags(if_none_match) & {"*", form})


def versions(value: str) -> Versions:
    """Return the versions that a list of entity-tags names, as the records domain takes them; else NoEntityTags.

    What matches nothing is no harmless If-None-Match: the write would go through, over what it was to spare.
    """
    found = tags(value)
    if not found:
        raise NoEntityTags
    return _versions(found)


def _versions(found: frozenset[str]) -> Versions:
    numbers = (_NUMBER.fullmatch(tag) for tag in found)
    return Versions(frozenset(int(number[1]) for number in numbers if number is not None), is_any="*" in found)


def precondition() -> Precondition:
    """Return what this request's If-Match and If-None-Match expect, to be asked under the lock."""
    return Precondition(_expected("If-Match"), _expected("If-None-Match"))


def _expected(name: str) -> Versions | None:
    value = _field(name)
    try:
        return None if value is None else versions(value)
    except NoEntityTags as fault:
        raise WebProblem("bad_request", detail=f"{name}: {fault}") from None


def _field(name: str) -> str | None:
    value = request.headers.get(name)
    if value is not None and len(value) > MAX_LENGTH:
        raise WebProblem("bad_request", detail=f"{name} must not be longer than {MAX_LENGTH} characters.")
    return value


def _names(value: str, form: str) -> bool:
    """Tell whether If-Match names this form, or its version by another form of it (U13)."""
    number = _NUMBER.fullmatch(form)
    found = tags(value)
    return bool(found & {"*", form}) or (number is not None and _versions(found).match(int(number[1])))
