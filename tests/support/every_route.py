"""Requests to every route of an application, from its own routing map, filled with names that one would like to try.

Takes   a Flask application;  Loot: what somebody has got hold of of another user
Gives   requests_of(…): method, path and options of each, those that end an account last
Raises  nothing
Not     the judgement. A new route is in it without anybody's doing: nobody can forget it
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from flask import Flask

_WRITING = ("POST", "PUT", "PATCH")
# What a body must have to be taken, by the end of the path.
_MEMBERS = {"preferences": "preferences", "me": "nickname", "batch": "operations", "deletion": "confirm"}
Request = tuple[str, str, dict[str, Any]]


@dataclass(frozen=True)
class Loot:
    """Everything by which another user's data could be named."""

    subject: str
    user_key: str
    collections: tuple[str, ...]
    ids: tuple[str, ...]
    cursors: tuple[str, ...]
    page_tokens: tuple[str, ...]
    etags: tuple[str, ...]
    keys: tuple[str, ...]


def requests_of(app: Flask, loot: Loot) -> Iterator[Request]:
    """Fill every route's path, then try every query, field and body on it."""
    found = [
        (method, path, options)
        for rule in app.url_map.iter_rules()
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
        for path in _paths(rule.rule, rule.arguments, loot)
        for options in _options(method, path, loot)
    ]
    # Stable: within a route in the order above. Whoever has asked for his own deletion can try nothing more.
    yield from sorted(found, key=lambda request: request[1].endswith("/deletion"))


def _paths(rule: str, arguments: set[str], loot: Loot) -> Iterator[str]:
    known = {"collection": loot.collections, "record_id": loot.ids, "code": ("gone",)}
    anything = (*loot.ids, *loot.collections, loot.subject, loot.user_key)
    names = sorted(arguments)
    for values in product(*(known.get(name, anything) for name in names)):
        path = rule
        for name, value in zip(names, values, strict=True):
            path = path.replace(f"<{name}>", value).replace(f"<path:{name}>", value)
        yield path


def _options(method: str, path: str, loot: Loot) -> Iterator[dict[str, Any]]:
    fields: list[dict[str, str]] = [{}, {"X-User-Id": loot.subject, "X-Forwarded-User": loot.subject}]
    fields += [{name: f'"{loot.etags[0]}"'} for name in ("If-Match", "If-None-Match")]
    if method == "GET":
        queries = [{"cursor": cursor} for cursor in loot.cursors] + [{"page": token} for token in loot.page_tokens]
        queries += [{name: value} for name, value in _names_of_user(loot).items()]
        queries += [{"collections": ",".join(loot.collections)}, {"limit": "500"}]
        yield from ({"query_string": query} for query in queries)
        yield from ({"headers": each} for each in fields)
        return
    fields += [{"If-Match": "*"}] + [{"Idempotency-Key": key} for key in loot.keys]
    if method not in _WRITING:
        yield from ({"headers": each} for each in fields)
        return
    bodies = list(_bodies(loot))
    # Every body as it is; those that the route could take with every field too.
    yield from ({"json": body} for body in bodies)
    taken = [body for body in bodies if _MEMBERS.get(path.rpartition("/")[2], "data") in body]
    yield from ({"json": body, "headers": each} for body, each in product(taken, fields[1:]))


def _names_of_user(loot: Loot) -> dict[str, str]:
    return {"sub": loot.subject, "user_key": loot.user_key, "user_id": loot.subject, "identity": loot.subject}


def _bodies(loot: Loot) -> Iterator[Any]:
    yield {}
    yield _names_of_user(loot)
    yield {"data": {"x": 1}}
    yield {"data": {"x": 1}, **_names_of_user(loot)}
    yield {"preferences": {"x": 1}}
    yield {"nickname": "Eve", "attributes": {"x": 1}}
    yield {"confirm": "delete my account"}
    named = [{"collection": name, "id": each} for name, each in product(loot.collections, loot.ids)]
    operations = [
        {"op": op, **one, **condition, **({} if op == "delete" else {"data": {"x": 1}})}
        for op, one, condition in product(
            ("patch", "put", "delete"), named, ({}, {"if_match": f'"{loot.etags[0]}"'}, {"if_match": "*"})
        )
    ]
    yield {"operations": operations[:100]}
    yield {"operations": [{**operations[0], **_names_of_user(loot)}]}
