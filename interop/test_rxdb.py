"""RxDB's replication over /v1/changes and /v1/batch: an offline-first database that others wrote (user-data.md U15)."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import tokens
from tests.support.gunicorn_server import AUDIENCE, ROOT, GunicornServer

SCOPE = "read:records write:records"
PATIENCE_SECONDS = 180


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GunicornServer]:
    """Two workers, and a purge that forgets every deletion there was."""
    keys = tmp_path / "jwks.json"
    keys.write_bytes(tokens.key_set(tokens.rsa_key()))
    running = GunicornServer(
        tmp_path, tokens.ISSUER, JWKS_FILE=str(keys), WEB_CONCURRENCY="2", TOMBSTONE_DAYS="0"
    )  # fmt: skip
    try:
        running.start()
        yield running
    finally:
        running.stop()


def story_of(server: GunicornServer, seed: int, mode: str) -> dict[str, Any]:
    """Let the devices tell their story, purge when they say that one of them is away; each step's facts by name."""
    now = int(time.time())
    token = tokens.mint(
        tokens.rsa_key(), None, {"iat": now, "exp": now + 3600, "aud": AUDIENCE, "scope": SCOPE}
    )  # fmt: skip
    told: dict[str, Any] = {}
    complaints = server.log.with_name("devices.log")
    with (
        complaints.open("w") as output,
        subprocess.Popen(
            ["node", "interop/rxdb.mjs", server.url, str(seed), mode],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "TOKEN": token},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
        ) as devices,
    ):
        assert devices.stdin is not None
        assert devices.stdout is not None
        try:
            for line in devices.stdout:
                facts = json.loads(line)
                told[facts.pop("step")] = facts
                if "away" in told and not devices.stdin.closed:
                    purge(server)
                    devices.stdin.write("go on\n")
                    devices.stdin.close()
            assert devices.wait(PATIENCE_SECONDS) == 0, f"{told}\n{complaints.read_text()}"
        finally:
            devices.kill()
    sys.stdout.write(json.dumps({"mode": mode, "seed": seed, **told}) + "\n")
    return told


def purge(server: GunicornServer) -> None:
    """Forget all deletions, with the operator's own command."""
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "purge"]
    done = subprocess.run(command, cwd=ROOT, env=server.settings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("mode", "seed"), [("careful", 1), ("careful", 2), ("keyless", 3)])
def test_devices_when_offline_in_conflict_and_without_answers_then_all_hold_the_same(
    server: GunicornServer, mode: str, seed: int
):
    """U15, U5: "each checked before it writes; nothing acknowledged is rolled back"; a retry is carried out once.

    That all four devices hold what the server holds, version by version, is checked by the devices themselves: they
    end with 1 where it is not so. What the end proves besides is that no device's write is missing in it.
    """
    told = story_of(server, seed, mode)
    end = told["end"]
    assert end["devices"] == 4
    assert end["marks"] > 80
    assert end["missing"] == 0
    assert end["conflicts"] > 0
    assert end["deleted_and_changed"] > 0
    assert end["lost_writes"] > 0
    assert (end["replayed"] > 0) is (mode == "careful")
    # §2: 410 `cursor_expired`. What was made or changed while away is still there; what was deleted is not.
    assert told["away"]["deleted"] > 1
    assert told["back"]["resyncs"] >= 1
    assert sorted((note["id"], note["title"]) for note in told["back"]["loose"]) == sorted(
        [("made-away", "made away"), (told["back"]["changed"], "changed away")]
    )


def test_devices_when_they_send_no_conditions_then_writes_are_missing(server: GunicornServer):
    """The negative control: without if_match and if_none_match they agree as well, on less than was written."""
    end = story_of(server, 1, "naive")["end"]
    assert end["conflicts"] == 0
    assert end["missing"] > 0
