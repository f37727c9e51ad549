"""docs/sync.md: its examples are run as they stand there, over HTTP, and its table is held to the catalogue."""

import re
import threading
from pathlib import Path

from werkzeug.serving import make_server

from app.web.catalogue import PROBLEMS
from app.web.scopes import SCOPES
from config.settings import Settings
from tests.support import tokens
from tests.support.api import Api

GUIDE = (Path(__file__).parents[3] / "docs" / "sync.md").read_text()


def rows() -> dict[str, list[str]]:
    """What to do, and the codes on which to do it."""
    table = GUIDE.partition("<!-- codes -->")[2].partition("<!-- /codes -->")[0]
    found = re.findall(r"^\| \*\*(\w+)\*\*.*? \| (.*?) \|$", table, re.MULTILINE)
    return {word: re.findall(r"`(\w+)`", codes) for word, codes in found}


def test_examples_when_run_one_after_the_other_then_each_holds(api: Api):
    """The promise: "nothing acknowledged is ever lost from sync": the loop of the guide ends with what is stored."""
    blocks = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    server = make_server("127.0.0.1", 0, api.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    given = {"API": f"http://127.0.0.1:{server.server_port}", "TOKEN": api.token(" ".join(SCOPES))}
    try:
        for block in blocks:
            exec(compile(block, "docs/sync.md", "exec"), given)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert len(blocks) >= 7


def test_table_when_held_to_the_catalogue_then_every_code_stands_in_it_once():
    """U7: "An offline queue may park what is not `retryable` at once": a new code needs a place here."""
    listed = [code for codes in rows().values() for code in codes]
    assert sorted(listed) == sorted(PROBLEMS)


def test_table_when_it_says_retry_or_park_then_as_the_catalogue_does():
    table = rows()
    assert list(table) == ["retry", "refresh", "resync", "merge", "ask", "park", "stop"]
    for word in ("retry", "refresh"):
        assert all(PROBLEMS[code].retryable for code in table[word])
    for word in ("resync", "merge", "park"):
        assert not any(PROBLEMS[code].retryable for code in table[word])
    assert {PROBLEMS[code].action for code in table["retry"]} == {"retry_now", "retry_later"}
    assert {PROBLEMS[code].action for code in table["refresh"]} == {"refresh", "send_token"}
    assert {PROBLEMS[code].action for code in table["resync"]} == {"resync"}
    assert {PROBLEMS[code].action for code in table["park"]} == {"fix_client", "ask_operator"}
    # 401 is never the fault of a wish: none is parked for it.
    assert not [code for word in ("park", "merge", "resync") for code in table[word] if PROBLEMS[code].status == 401]


def test_numbers_when_the_guide_names_them_then_they_are_the_defaults():
    """§5: the limits."""
    settings = Settings(tenant_issuers=(tokens.ISSUER,), api_audiences=(tokens.AUDIENCE,))
    assert f"remembered for {settings.tombstone_days} days (`TOMBSTONE_DAYS`)" in GUIDE
    assert f"kept for {settings.idempotency_hours} hours" in GUIDE
    megabytes = settings.max_batch_bytes // 2**20
    assert f"up to {settings.max_batch_operations} operations or {megabytes} MiB" in GUIDE
