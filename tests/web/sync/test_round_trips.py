"""What most requests of a device ask of the database: one statement, with no transaction around it.

A round trip is the dearest part of a small read; tests/support/statements.py leaves out what begins and prepares.
"""

from sqlalchemy import event

from tests.support.api import Api
from tests.support.sync_api import LIST, database_of

SCOPES = "read:records write:records"


def sent_for(api: Api, path: str, status: int, **options) -> list[str]:
    """Everything that the database is told for one request, BEGIN included; SQLite's switches are no round trips."""
    sent: list[str] = []

    def listen(_connection, _cursor, statement, *_more) -> None:
        if not statement.startswith("PRAGMA"):
            sent.append(statement.split()[0])

    engine = database_of(api).engine
    event.listen(engine, "before_cursor_execute", listen)
    try:
        assert api.get(path, SCOPES, **options).status_code == status
    finally:
        event.remove(engine, "before_cursor_execute", listen)
    return sent


def test_get_when_one_record_is_read_then_one_statement(api):
    api.request("PUT", f"{LIST}/a", SCOPES, json={"data": {}})
    assert sent_for(api, f"{LIST}/a", 200) == ["SELECT"]
    assert sent_for(api, f"{LIST}/b", 404) == ["SELECT"]


def test_list_when_it_begins_then_one_statement_and_later_pages_one_snapshot(api):
    for name in "abc":
        api.request("PUT", f"{LIST}/{name}", SCOPES, json={"data": {}})
    assert sent_for(api, LIST, 200) == ["SELECT"]
    following = api.get(f"{LIST}?limit=2", SCOPES).get_json()["next"]
    assert sent_for(api, f"{LIST}?limit=2&page={following}", 200)[0] == "BEGIN"
    assert sent_for(api, f"{LIST}?limit=500", 200)[0] == "BEGIN"


def test_get_when_nothing_has_changed_then_one_statement(api):
    """§7: "so a 304 costs one primary-key read"."""
    api.request("PUT", f"{LIST}/a", SCOPES, json={"data": {}})
    first = api.get("/v1/changes", SCOPES).get_json()
    path = f"/v1/changes?cursor={first['cursor']}"
    assert sent_for(api, path, 200) == ["SELECT"]
    assert sent_for(api, path, 304, headers={"If-None-Match": f'"{first["cursor"]}"'}) == ["SELECT"]


def test_get_when_something_has_changed_then_it_is_read_in_one_snapshot(api):
    """§7: "read the head H = accounts.seq first": what is told is of one moment."""
    api.request("PUT", f"{LIST}/a", SCOPES, json={"data": {}})
    cursor = api.get("/v1/changes", SCOPES).get_json()["cursor"]
    api.request("PUT", f"{LIST}/b", SCOPES, json={"data": {}})
    sent = sent_for(api, f"/v1/changes?cursor={cursor}", 200)
    assert sent[0] == "SELECT"
    assert sent[1] == "BEGIN"
    assert sent.count("BEGIN") == 1
    assert set(sent[2:]) == {"SELECT"}
