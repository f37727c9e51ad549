"""The copy of the keys on disk: written in one step, and believed only where nobody else could have written it."""

import json
import os
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

import app.oauth.keys.snapshot as room
from app.oauth.keys.download import Download
from app.oauth.keys.jwks import MAX_DOCUMENT_BYTES, parse_key_set
from app.oauth.keys.snapshot import KeySnapshot, Snapshot, SnapshotFailed
from tests.support.tokens import ISSUER, ec_key, key_set, new_rsa_key, rsa_key

NOW = 1_800_000_000.0
USERINFO = f"{ISSUER}userinfo"
SOMEBODY_ELSE = 12_345


def download_of(*keys: Any, userinfo_endpoint: str | None = USERINFO, max_age_seconds: int | None = 15) -> Download:
    document = key_set(*keys or (rsa_key(),))
    return Download(parse_key_set(document, ("RS256", "ES256")), max_age_seconds, userinfo_endpoint, document)


@pytest.fixture
def file(tmp_path: Path) -> KeySnapshot:
    return KeySnapshot(tmp_path / "keys", ISSUER, ("RS256",))


@pytest.fixture
def written(file: KeySnapshot) -> KeySnapshot:
    assert file.write(Snapshot(download_of(), NOW - 100.0), now=NOW)
    return file


def why(file: KeySnapshot) -> str:
    with pytest.raises(SnapshotFailed) as caught:
        file.read(now=NOW)
    return caught.value.why


def changed(file: KeySnapshot, **members: Any) -> None:
    """Lay these members over what the file holds."""
    file.path.write_text(json.dumps(json.loads(file.path.read_bytes()) | members))


def give_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the path belong to another user: root can do it, others can only be another user themselves."""
    if os.geteuid() == 0:
        os.chown(path, SOMEBODY_ELSE, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: SOMEBODY_ELSE)


# What is kept


def test_read_when_nothing_was_written_gives_nothing(file: KeySnapshot):
    assert file.read(now=NOW) is None
    file.directory.mkdir()
    assert file.read(now=NOW) is None


def test_read_gives_back_what_was_written(written: KeySnapshot):
    """K8: "A copy of the last good set is kept on disk"."""
    snapshot = written.read(now=NOW)
    assert snapshot is not None
    assert snapshot.begun_at == NOW - 100.0
    assert snapshot.download.keys.kids() == ("rsa-1",)
    assert snapshot.download.max_age_seconds == 15
    assert snapshot.download.userinfo_endpoint == USERINFO
    assert snapshot.download.document == key_set(rsa_key())


@pytest.mark.parametrize("cached", [None, 0, 15])
def test_read_gives_back_what_was_not_said_either(file: KeySnapshot, cached: int | None):
    file.write(Snapshot(download_of(userinfo_endpoint=None, max_age_seconds=cached), NOW), now=NOW)
    snapshot = file.read(now=NOW)
    assert snapshot is not None
    assert (snapshot.download.max_age_seconds, snapshot.download.userinfo_endpoint) == (cached, None)


def test_read_when_the_algorithms_have_changed_counts_todays(written: KeySnapshot):
    """K8 keeps the document itself, so that a narrower TOKEN_ALGORITHMS counts for the copy too."""
    written.write(Snapshot(download_of(rsa_key(), ec_key()), NOW), now=NOW)
    both = KeySnapshot(written.directory, ISSUER, ("RS256", "ES256")).read(now=NOW)
    assert both is not None
    assert both.download.keys.kids() == ("ec-ES256", "rsa-1")
    assert why(KeySnapshot(written.directory, ISSUER, ("EdDSA",))) == "no_usable_key"


def test_write_when_the_folder_is_missing_makes_it_for_its_owner_alone(written: KeySnapshot):
    assert stat.S_IMODE(written.directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(written.path.stat().st_mode) == 0o600
    assert {path.suffix for path in written.directory.iterdir()} == {".json", ".lock"}


def test_two_issuers_have_a_file_each(written: KeySnapshot):
    """T11: "each with its own key set"."""
    other = KeySnapshot(written.directory, "https://login.example/", ("RS256",))
    assert other.read(now=NOW) is None
    assert other.path != written.path
    other.write(Snapshot(download_of(rsa_key("custom")), NOW), now=NOW)
    mine, others = written.read(now=NOW), other.read(now=NOW)
    assert mine is not None
    assert others is not None
    assert (mine.download.keys.kids(), others.download.keys.kids()) == (("rsa-1",), ("custom",))
    # The userinfo address was of another origin than this issuer's: the user's token is not sent there.
    assert others.download.userinfo_endpoint is None


def test_the_largest_key_set_fits(file: KeySnapshot):
    """K2: 256 KiB is what a fetch may bring; all of it quotes is the worst that a JSON string makes of it."""
    key = json.dumps(rsa_key().jwk())
    rest = MAX_DOCUMENT_BYTES - len(key) - 20
    document = ('{"keys":[' + key + '],"x":[' + '"",' * (rest // 3 - 1) + "0]}").encode()
    document += b"\n" * (MAX_DOCUMENT_BYTES - len(document))
    file.write(Snapshot(Download(parse_key_set(document, ("RS256",)), None, None, document), NOW), now=NOW)
    snapshot = file.read(now=NOW)
    assert snapshot is not None
    assert snapshot.download.document == document


# What is not believed


def test_read_when_the_file_is_torn_says_so(written: KeySnapshot):
    content = written.path.read_bytes()
    for length in (0, 1, len(content) // 2, len(content) - 1):
        written.path.write_bytes(content[:length])
        assert why(written) == "malformed"
    written.path.write_bytes(content[: len(content) // 2] + bytes(len(content) // 2))
    assert why(written) == "malformed"


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"format": 2}, "malformed"),
        ({"format": None}, "malformed"),
        ({"issuer": "https://other.example/"}, "issuer_mismatch"),
        ({"issuer": ISSUER.rstrip("/")}, "issuer_mismatch"),
        ({"issuer": None}, "issuer_mismatch"),
        ({"begun_at": None}, "malformed"),
        ({"begun_at": True}, "malformed"),
        ({"begun_at": "1800000000"}, "malformed"),
        ({"begun_at": NOW + 30.1}, "future"),
        ({"begun_at": 1e300}, "future"),
        ({"jwks": None}, "malformed"),
        ({"jwks": {"keys": []}}, "malformed"),
        ({"jwks": "{"}, "malformed"),
        ({"jwks": "[]"}, "not_a_key_set"),
        ({"jwks": '{"keys": []}'}, "no_usable_key"),
        ({"jwks": key_set(new_rsa_key(bits=1024)).decode()}, "no_usable_key"),
    ],
)
def test_read_when_a_member_is_wrong_says_so(written: KeySnapshot, members: dict[str, Any], reason: str):
    """K8: "inside the same staleness bound": a time that is none, or is to come, would have no bound."""
    changed(written, **members)
    assert why(written) == reason


@pytest.mark.parametrize("content", [b"[]", b"null", b'"x"', b"\xff\xfe{}"])
def test_read_when_it_is_no_object_says_so(written: KeySnapshot, content: bytes):
    written.path.write_bytes(content)
    assert why(written) == "malformed"


def test_read_when_the_clock_was_corrected_by_seconds_believes_it(written: KeySnapshot):
    changed(written, begun_at=NOW + 30.0)
    assert written.read(now=NOW) is not None


@pytest.mark.parametrize("max_age", [-1, 1.5, True, "15", []])
def test_read_when_the_max_age_is_odd_counts_none(written: KeySnapshot, max_age: Any):
    changed(written, max_age_seconds=max_age)
    snapshot = written.read(now=NOW)
    assert snapshot is not None
    assert snapshot.download.max_age_seconds is None


@pytest.mark.parametrize("endpoint", ["https://evil.example/userinfo", "http://tenant.example/userinfo", 7])
def test_read_when_userinfo_is_of_another_origin_counts_none(written: KeySnapshot, endpoint: Any):
    """K1's rule for what the user's token is sent to counts for the copy as well."""
    changed(written, userinfo_endpoint=endpoint)
    snapshot = written.read(now=NOW)
    assert snapshot is not None
    assert snapshot.download.userinfo_endpoint is None


def test_read_when_the_file_is_oversized_does_not_read_it(written: KeySnapshot):
    with written.path.open("ab") as content:
        content.truncate(10**12)
    assert why(written) == "oversized"


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_read_when_others_may_write_the_file_refuses(written: KeySnapshot, mode: int):
    """Whoever can put a key of his own there can sign any user's token."""
    written.path.chmod(mode)
    assert why(written) == "others_may_write"


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777])
def test_folder_when_others_may_write_it_is_neither_read_nor_written(written: KeySnapshot, mode: int):
    written.directory.chmod(mode)
    assert why(written) == "others_may_write"
    with pytest.raises(SnapshotFailed, match="others_may_write: the folder has mode"):
        written.write(Snapshot(download_of(), NOW), now=NOW)


@pytest.mark.parametrize("what", ["file", "folder"])
def test_read_when_it_belongs_to_another_user_refuses(written: KeySnapshot, monkeypatch: pytest.MonkeyPatch, what: str):
    give_away(written.path if what == "file" else written.directory, monkeypatch)
    assert why(written) == "not_ours"


def test_read_when_a_link_stands_there_does_not_follow_it(written: KeySnapshot, tmp_path: Path):
    moved = written.path.rename(tmp_path / "moved.json")
    written.path.symlink_to(moved)
    assert why(written) == "unreadable"


def test_read_when_something_else_stands_there_does_not_wait_for_it(written: KeySnapshot):
    written.path.unlink()
    os.mkfifo(written.path, 0o600)
    assert why(written) == "not_a_file"
    written.path.unlink()
    written.path.mkdir(mode=0o700)
    assert why(written) == "not_a_file"


# Several writers


def test_write_when_the_file_is_newer_leaves_it(written: KeySnapshot):
    """K8, among workers: who fetched earlier may write later, and must not bring a dropped key back."""
    assert not written.write(Snapshot(download_of(rsa_key("older")), NOW - 100.1), now=NOW)
    assert not written.write(Snapshot(download_of(rsa_key("same")), NOW - 100.0), now=NOW)
    snapshot = written.read(now=NOW)
    assert snapshot is not None
    assert snapshot.download.keys.kids() == ("rsa-1",)
    assert written.write(Snapshot(download_of(rsa_key("newer")), NOW - 99.9), now=NOW)


@pytest.mark.parametrize("broken", [{"begun_at": NOW + 3600}, {"format": 0}, {"jwks": "{"}])
def test_write_when_the_file_cannot_be_used_replaces_it(written: KeySnapshot, broken: dict[str, Any]):
    """A clock that was an hour fast for a moment must not keep every later copy out."""
    changed(written, **broken)
    assert written.write(Snapshot(download_of(), NOW - 200.0), now=NOW)
    assert written.read(now=NOW) is not None


def test_write_when_a_killed_writer_left_half_a_file_goes_on(written: KeySnapshot):
    left = written.path.with_suffix(".tmp")
    left.write_bytes(b"{")
    assert written.write(Snapshot(download_of(), NOW), now=NOW)
    assert not left.exists()


WRITING = """
import sys
from pathlib import Path
from app.oauth.keys.jwks import parse_key_set
from app.oauth.keys.download import Download
from app.oauth.keys.snapshot import KeySnapshot, Snapshot

directory, document, first = Path(sys.argv[1]), sys.argv[2].encode(), float(sys.argv[3])
file = KeySnapshot(directory, "https://tenant.example/", ("RS256",))
keys = parse_key_set(document, ("RS256",))
print("ready", flush=True)
sys.stdin.readline()
for number in range(40):
    # Now the newest of all, now a straggler.
    begun_at = first + number - 2.5 * (number % 2)
    file.write(Snapshot(Download(keys, None, None, document), begun_at), now=first + 100.0)
"""


def seen_by_a_reader(file: KeySnapshot) -> list[float]:
    """Have four processes write the one file at the same time; return the times that a reader sees meanwhile."""
    file.directory.mkdir(mode=0o700)
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITING, str(file.directory), key_set(rsa_key()), text],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[3],
        )
        for text in (str(NOW + number / 10) for number in range(4))
    ]
    seen: list[float] = []
    try:
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.write(b"go\n")
            writer.stdin.flush()
        while any(writer.poll() is None for writer in writers):
            snapshot = file.read(now=NOW + 100.0)
            if snapshot is not None:
                seen.append(snapshot.begun_at)
    finally:
        for writer in writers:
            writer.communicate(timeout=60)
    assert [writer.returncode for writer in writers] == [0, 0, 0, 0]
    return seen


def test_four_processes_that_write_at_once_never_tear_it_nor_turn_it_back(file: KeySnapshot):
    """K8: "written atomically", and the time in it only grows, whoever writes."""
    seen = seen_by_a_reader(file)
    assert seen == sorted(seen)
    snapshot = file.read(now=NOW + 100.0)
    assert snapshot is not None
    assert snapshot.begun_at == NOW + 0.3 + 38
    assert {path.suffix for path in file.directory.iterdir()} == {".json", ".lock"}


@pytest.mark.parametrize(("locked", "kept"), [(True, "newer"), (False, "older")])
def test_write_when_a_newer_set_comes_between_look_and_rename_keeps_the_newer(
    file: KeySnapshot, monkeypatch: pytest.MonkeyPatch, locked: bool, kept: str
):
    """K8: "never older over newer"; the control takes the lock away, and the straggler turns the copy back."""
    has_looked, go_on = threading.Event(), threading.Event()
    replace = room._replace

    def slowly(path: Path, content: bytes) -> None:
        if b"older" in content:
            has_looked.set()
            go_on.wait(30)
        replace(path, content)

    monkeypatch.setattr(room, "_replace", slowly)
    if not locked:
        monkeypatch.setattr(room, "_alone", lambda _path: nullcontext())
    with ThreadPoolExecutor(2) as threads:
        older = threads.submit(file.write, Snapshot(download_of(rsa_key("older")), NOW - 10.0), now=NOW)
        assert has_looked.wait(30)
        newer = threads.submit(file.write, Snapshot(download_of(rsa_key("newer")), NOW), now=NOW)
        if not locked:
            assert newer.result(30)
        go_on.set()
        assert older.result(30)
        assert newer.result(30)
    snapshot = file.read(now=NOW)
    assert snapshot is not None
    assert snapshot.download.keys.kids() == (kept,)


def test_write_when_another_process_keeps_the_lock_gives_up(written: KeySnapshot, monkeypatch: pytest.MonkeyPatch):
    """A writer that was stopped in the middle must not hold every other one for ever."""
    monkeypatch.setattr(room, "_LOCK_PAUSE_SECONDS", 0.01)
    with room._alone(written.path.with_suffix(".lock")), pytest.raises(SnapshotFailed, match="busy"):
        written.write(Snapshot(download_of(), NOW), now=NOW)
    assert written.write(Snapshot(download_of(), NOW), now=NOW)


def test_write_when_the_lock_is_given_back_meanwhile_goes_on(written: KeySnapshot):
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with room._alone(written.path.with_suffix(".lock")):
            held.set()
            let_go.wait(30)

    with ThreadPoolExecutor(2) as threads:
        holding = threads.submit(hold)
        assert held.wait(30)
        writing = threads.submit(written.write, Snapshot(download_of(), NOW), now=NOW)
        let_go.set()
        holding.result()
        assert writing.result()


# Trouble with the disk


def test_write_when_the_folder_cannot_be_made_says_so(tmp_path: Path):
    (tmp_path / "taken").write_text("a file")
    file = KeySnapshot(tmp_path / "taken", ISSUER, ("RS256",))
    with pytest.raises(SnapshotFailed, match="unwritable"):
        file.write(Snapshot(download_of(), NOW), now=NOW)
    assert why(file) == "unreadable"


def test_write_when_the_disk_is_full_leaves_the_old_copy_and_nothing_else(
    written: KeySnapshot, monkeypatch: pytest.MonkeyPatch
):
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SnapshotFailed, match="unwritable"):
        written.write(Snapshot(download_of(rsa_key("newer")), NOW), now=NOW)
    snapshot = written.read(now=NOW)
    assert snapshot is not None
    assert snapshot.download.keys.kids() == ("rsa-1",)
    assert not written.path.with_suffix(".tmp").exists()


def test_failure_reads_well_with_and_without_detail():
    assert str(SnapshotFailed("future", "90 s ahead")) == "future: 90 s ahead"
    assert str(SnapshotFailed("busy")) == "busy"
