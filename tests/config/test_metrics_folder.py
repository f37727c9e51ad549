"""The folder in which workers count: made, swept, and its dead put together."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.multiprocess import MultiProcessCollector

from config import metrics_files
from config.metrics_files import put_together, reading
from config.metrics_folder import PREFIX, MetricsFolder, sweep

KEYS = [mmap_key("postern_x", "postern_x_total", ["code"], [code], "X") for code in ("a", "b")]
MINUTE = 60


def counted(folder: Path, pid: int | str, *values: float, kind: str = "counter") -> Path:
    file = folder / f"{kind}_{pid}.db"
    written = MmapedDict(str(file))
    for key, value in zip(KEYS, values, strict=False):
        written.write_value(key, value, 0.0)
    written.close()
    return file


def told(folder: Path) -> dict[str, float]:
    collector = MultiProcessCollector(CollectorRegistry(), str(folder))
    return {sample.labels["code"]: sample.value for family in collector.collect() for sample in family.samples}


def a_dead_pid() -> int:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


def aged(folder: Path, seconds: float) -> Path:
    os.utime(folder, (time.time() - seconds,) * 2)
    return folder


def made(parent: Path, name: str, age_seconds: float = 0) -> Path:
    folder = parent / f"{PREFIX}{name}"
    folder.mkdir(mode=0o700)
    return aged(folder, age_seconds)


def test_folder_when_the_operators_is_missing_then_made(tmp_path: Path):
    folder = MetricsFolder(None, str(tmp_path / "a" / "b"))
    assert folder.make() is False
    assert (tmp_path / "a" / "b").is_dir()
    folder.remove()
    assert (tmp_path / "a" / "b").is_dir()  # it is not ours


def test_folder_when_gone_then_made_anew_at_the_same_place_and_said_so(tmp_path: Path):
    folder = MetricsFolder(str(tmp_path), None)
    assert [folder.make(), folder.make()] == [False, False]
    assert folder.path is not None
    folder.path.rmdir()
    assert folder.make() is True
    assert folder.make() is False
    assert sweep(tmp_path, time.time() + 10 * MINUTE) == []  # held as the first one was
    folder.remove()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("given", [True, False])
def test_folder_when_it_cannot_be_made_then_an_oserror(tmp_path: Path, given: bool):
    (tmp_path / "file").write_text("")
    place = str(tmp_path / "file" / "folder")
    with pytest.raises(OSError, match="file"):
        MetricsFolder(None if given else place, place if given else None).make()


def test_folder_when_somebody_else_has_made_it_anew_then_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """In a folder that is open to all, whoever has seen its name could let us write where he likes."""
    folder = MetricsFolder(str(tmp_path), None)
    folder.make()
    assert folder.path is not None
    folder.path.rmdir()
    folder.path.symlink_to(tmp_path)
    with pytest.raises(PermissionError):
        folder.make()
    folder.path.unlink()
    folder.path.mkdir()
    uid = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    with pytest.raises(PermissionError):
        folder.make()


def test_folder_when_full_then_an_oserror(tmp_path: Path):
    """A limit of the process stands for the full disk: both refuse the room."""
    code = (
        "import resource, sys; from config.metrics_folder import ROOM_BYTES, MetricsFolder\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM_BYTES + int(sys.argv[2]),) * 2)\n"
        "MetricsFolder(None, sys.argv[1]).make()"
    )
    ends = [
        subprocess.run([sys.executable, "-c", code, str(tmp_path), more], capture_output=True, text=True, check=False)
        for more in ("0", "-1")
    ]
    assert ends[0].returncode == 0, ends[0].stderr
    assert ends[1].stderr.splitlines()[-1].startswith("OSError")


def test_sweep_when_a_master_was_killed_then_its_folder_goes_and_no_other(tmp_path: Path):
    dead, alive = a_dead_pid(), os.getpid()
    gone = [
        made(tmp_path, f"{dead}-young"),
        made(tmp_path, f"{dead}-old", MINUTE + 1),
        made(tmp_path, f"{alive}-reused", MINUTE + 1),  # nobody holds it: the number is another process's by now
        made(tmp_path, "unnamed", MINUTE + 1),
    ]
    held = MetricsFolder(str(tmp_path), None)
    held.make()
    assert held.path is not None
    aged(held.path, 10 * MINUTE)
    served = made(tmp_path, "of-a-living-worker", MINUTE + 1)
    counted(served, alive, 1)
    stays = [
        held.path,
        made(tmp_path, f"{alive}-young"),  # on its way to being held
        made(tmp_path, "unnamed-young"),
        aged(served, MINUTE + 1),
    ]
    other = tmp_path / "another"
    other.mkdir()
    link = tmp_path / f"{PREFIX}{dead}-link"
    link.symlink_to(other)
    assert sorted(sweep(tmp_path, time.time())) == sorted(gone)
    assert sorted(tmp_path.iterdir()) == sorted([*stays, other, link])


def test_sweep_when_young_or_not_by_a_second_then_by_a_minute(tmp_path: Path):
    folder = made(tmp_path, "unnamed")
    since = folder.stat().st_mtime
    assert sweep(tmp_path, since + MINUTE - 1) == []
    assert sweep(tmp_path, since + MINUTE) == [folder]


def test_sweep_when_somebody_elses_then_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    made(tmp_path, f"{a_dead_pid()}-theirs", MINUTE + 1)
    uid = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    assert sweep(tmp_path, time.time()) == []


def test_sweep_when_the_master_is_gone_and_a_worker_not_yet_then_left(tmp_path: Path):
    """The lock is shared by what was forked: the last of them ends it."""
    code = (
        "import os, sys, time; from config.metrics_folder import MetricsFolder\n"
        "MetricsFolder(sys.argv[1], None).make()\n"
        "if os.fork(): os._exit(0)\n"
        "print('forked', flush=True); sys.stdin.read()"
    )
    master = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert master.stdin is not None
    assert master.stdout is not None
    assert master.stdout.readline() == b"forked\n"
    master.wait()
    later = time.time() + 10 * MINUTE
    assert sweep(tmp_path, later) == []
    master.stdin.close()
    assert master.stdout.read() == b""  # its end
    master.stdout.close()
    deadline = time.monotonic() + MINUTE
    while not (swept := sweep(tmp_path, later)):
        assert time.monotonic() < deadline
    assert len(swept) == 1


def test_dead_when_put_together_then_the_sums_stay_and_the_files_go(tmp_path: Path):
    counted(tmp_path, 1, 1, 10)
    counted(tmp_path, 2, 2)
    counted(tmp_path, 3, 4, 40)
    before = told(tmp_path)
    assert put_together(tmp_path, {1, 2})
    assert put_together(tmp_path, {3})
    assert told(tmp_path) == before == {"a": 7, "b": 50}
    assert [file.name for file in tmp_path.glob("*.db")] == ["counter_dead.db"]
    assert put_together(tmp_path, {4})  # it had counted nothing


def test_dead_when_many_then_their_file_does_not_grow(tmp_path: Path):
    for pid in range(50):
        counted(tmp_path, pid, 1)
        put_together(tmp_path, {pid})
    assert told(tmp_path) == {"a": 50}
    assert (tmp_path / "counter_dead.db").stat().st_size < 2 * 65536


def test_dead_when_one_was_killed_before_it_wrote_then_the_others_count(tmp_path: Path):
    """Such a file would spoil every scrape for good."""
    counted(tmp_path, 1, 1)
    (tmp_path / "counter_2.db").write_bytes(b"")
    (tmp_path / "counter_3.db").write_bytes(b"\xff" * 64)
    assert put_together(tmp_path, {1, 2, 3})
    assert told(tmp_path) == {"a": 1}


def test_dead_when_a_scrape_reads_then_left_for_later(tmp_path: Path):
    """Read between the new file and the end of the old ones, the dead would count twice."""
    counted(tmp_path, 1, 1)
    with reading(tmp_path), reading(tmp_path):
        assert not put_together(tmp_path, {1})
        assert (tmp_path / "counter_1.db").exists()
    assert put_together(tmp_path, {1})


def test_scrape_when_the_dead_are_put_together_then_it_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The control of the test above: read half-way without the lock, the dead do count twice."""
    counted(tmp_path, 1, 1)
    seen: list[dict[str, float] | str] = []
    code = (
        "import sys; from pathlib import Path; from config.metrics_files import reading\n"
        "with reading(Path(sys.argv[1])): print('read')"
    )
    replace = Path.replace

    def half_way(self: Path, target: Path) -> Path:
        done = replace(self, target)
        seen.append(told(tmp_path))
        reader = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        readers.append(reader)
        try:
            reader.wait(2)
        except subprocess.TimeoutExpired:
            seen.append("waits")
        return done

    readers: list[subprocess.Popen[str]] = []
    monkeypatch.setattr(Path, "replace", half_way)
    assert put_together(tmp_path, {1})
    assert seen == [{"a": 2}, "waits"]
    assert readers[0].communicate(timeout=MINUTE)[0] == "read\n"
    assert told(tmp_path) == {"a": 1}


def test_room_when_the_file_system_cannot_say_then_none_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with (tmp_path / "file").open("wb") as file:
        monkeypatch.delattr(os, "posix_fallocate")
        metrics_files.reserve(file.fileno(), 4096)
        assert os.fstat(file.fileno()).st_size == 0
