"""Versions of a resource in HTTP: ETag, If-Match, If-None-Match.

Takes   field values, the current version's number and entity-tag
Gives   entity-tags, "not modified" answers, a check to run under the user's lock
Raises  PreconditionFailed (the caller knows what is current)
Not     the numbers themselves (the domain's `seq`)
Source  RFC 9110 §8.8.3, §13.1.1, §13.1.2, §13.2.2, §15.4.5; docs/contracts/user-data.md U2–U4, U13
"""

import re
from collections.abc import Callable

from flask import Response, request

from app.records.preconditions import Precondition, Versions

_TAG = re.compile(r'(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_LIST = re.compile(r'\s*(?:(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"\s*(?:,\s*|$))+')
# What proxies append when they compress: nginx and Apache `-gzip`, some `--gzip`, brotli modules `-br`.
_PROXY_SUFFIX = re.compile(r"--?(?:gzip|br|zstd|deflate)$")
_NUMBER = re.compile(r"(\d{1,19})(?:-p)?", re.ASCII)


def entity_tag(seq: int, *, partial: bool = False) -> str:
    """Return the strong entity-tag of version `seq`; a form without the e-mail has one of its own (U13)."""
    return f'"{seq}-p"' if partial else f'"{seq}"'


def tags(value: str) -> frozenset[str]:
    """Return the opaque tags of a field, without weakness marks and proxies' suffixes; "*" stands for any.

    A value that is no list of entity-tags gives an empty set: it matches nothing.
    """
    if value.strip() == "*":
        return frozenset({"*"})
    if not _LIST.fullmatch(value):
        return frozenset()
    return frozenset(_PROXY_SUFFIX.sub("", tag) for tag in _TAG.findall(value))


def is_unmodified(etag: str) -> bool:
    """Tell whether If-None-Match of this GET names the current form, so that 304 says it all."""
    value = request.headers.get("If-None-Match")
    if value is None:
        return False
    found = tags(value)
    return "*" in found or etag.strip('"') in found


def not_modified(etag: str, fields: dict[str, str]) -> Response:
    """Answer 304 with the fields that a 200 would have carried (RFC 9110 §15.4.5)."""
    return Response(status=304, headers={**fields, "ETag": etag})


def write_precondition() -> Callable[[int], bool]:
    """Return the check of this request's If-Match and If-None-Match, to be asked under the lock with the current seq.

    RFC 9110 §13.2.2: If-Match decides first, then If-None-Match. The check gives False where the answer is 412.
    """
    if_match, if_none_match = request.headers.get("If-Match"), request.headers.get("If-None-Match")

    def holds(seq: int) -> bool:
        if if_match is not None and not _names(if_match, seq):
            return False
        return if_none_match is None or not _names(if_none_match, seq)

    return holds


def versions(value: str) -> Versions:
    """Return the versions that a list of entity-tags names, as the records domain takes them."""
    found = tags(value)
    numbers = (_NUMBER.fullmatch(tag) for tag in found)
    return Versions(frozenset(int(number[1]) for number in numbers if number is not None), is_any="*" in found)


def precondition() -> Precondition:
    """Return what this request's If-Match and If-None-Match expect, to be asked under the lock."""
    if_match, if_none_match = request.headers.get("If-Match"), request.headers.get("If-None-Match")
    return Precondition(
        None if if_match is None else versions(if_match),
        None if if_none_match is None else versions(if_none_match),
    )


def _names(value: str, seq: int) -> bool:
    found = tags(value)
    numbers = (_NUMBER.fullmatch(tag) for tag in found)
    return "*" in found or any(number is not None and int(number[1]) == seq for number in numbers)
