"""Which answer leads to which request: what a client, and a test that follows links, can go on with.

Takes   the operations of the document
Gives   say_links, for all of them
Raises  nothing
Not     Link fields (RFC 8288), which the answers carry themselves
Source  OpenAPI 3.0.3 §4.7.20
"""

from collections.abc import Mapping
from typing import Any

_MADE = {"collection": "$request.path.collection", "record_id": "$response.body#/id"}
_SAME = {"collection": "$request.path.collection", "record_id": "$request.path.record_id"}
_RECORD = ("getRecord", "patchRecord", "putRecord", "deleteRecord")
# By operation, status and operation that follows: the parameters that are known then.
LINKS: Mapping[str, Mapping[str, Mapping[str, Mapping[str, str]]]] = {
    "createRecord": {"201": dict.fromkeys(_RECORD, _MADE)},
    "putRecord": {
        "200": dict.fromkeys(_RECORD, _SAME),
        "201": dict.fromkeys(_RECORD, _SAME),
    },
    "patchRecord": {"200": dict.fromkeys(_RECORD, _SAME)},
    "deleteRecord": {"204": dict.fromkeys(_RECORD, _SAME)},
    "listRecords": {
        "200": {"listRecords": {"collection": "$request.path.collection", "page": "$response.body#/next"}},
    },
    "getChanges": {"200": {"getChanges": {"cursor": "$response.body#/cursor"}}},
    "listCollections": {
        "200": {"listRecords": {"collection": "$response.body#/collections/0/name"}},
    },
    "requestDeletion": {"202": {"getDeletion": {}, "cancelDeletion": {}}},
    "putPreferences": {"200": {"getPreferences": {}, "patchPreferences": {}}},
}


def say_links(operations: Mapping[str, dict[str, Any]]) -> None:
    """Put the links that lead from each operation to one that is there."""
    for name, by_status in LINKS.items():
        for status, following in by_status.items():
            response = operations[name]["responses"].setdefault(status, {"description": ""})
            response["links"] = {
                target: {"operationId": target, **({"parameters": dict(parameters)} if parameters else {})}
                for target, parameters in following.items()
            }
