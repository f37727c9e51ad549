"""A disk without room for the workers' files: what is new is not counted, and nobody dies of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.web.metrics.mapped import ReservedFile
from dev.processes import free_port
from tests.support.api import running, settings_for

ROOT = Path(__file__).parents[2]
# A limit of the process stands for the full disk: both refuse the room.
FULL = """
import errno, resource, time
from app.web.metrics.registry import Metrics
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector
metrics = Metrics()
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, resource.RLIM_INFINITY))
made, refused = [], None
for number in range(1000):
    try:
        made.append(metrics.problems.labels(f"code-{number}"))
    except OSError as fault:
        refused = fault
        break
assert refused is not None and refused.errno in (errno.EFBIG, errno.ENOSPC), refused
for child in made:
    child.inc()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
try:
    metrics.problems.labels("within the minute")
except OSError as fault:
    assert fault.errno == errno.ENOSPC
else:
    raise AssertionError("it was tried again at once")
now = time.monotonic() + 61
time.monotonic = lambda: now
metrics.problems.labels("after the minute").inc()
collector = MultiProcessCollector(CollectorRegistry())
told = [s.value for f in collector.collect() for s in f.samples if s.name == "postern_problems_total"]
assert sum(told) == len(made) + 1, told
print(len(made))
"""


def test_series_when_there_is_no_room_then_refused_and_the_others_count_on(tmp_path: Path):
    """Where it grew into a page that the disk had no room for, the process ended by SIGBUS."""
    environment = {"PATH": os.environ["PATH"], "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-c", FULL], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert int(ended.stdout) > 100


def test_file_when_made_then_its_room_is_taken(tmp_path: Path):
    """The library's own has holes: pages that are only looked for when they are written."""
    file = tmp_path / "counter_1.db"
    ReservedFile(str(file)).close()  # type: ignore[no-untyped-call]
    assert file.stat().st_size == 65536
    assert file.stat().st_blocks * 512 >= 65536


def test_file_when_there_is_no_room_for_it_then_none_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An empty one would spoil every scrape."""

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("app.web.metrics.mapped.reserve", refuse)
    with pytest.raises(OSError, match="No space left"):
        ReservedFile(str(tmp_path / "counter_1.db"))
    assert list(tmp_path.iterdir()) == []


def test_worker_when_it_cannot_count_then_it_serves_and_says_so(
    tmp_path: Path, migrated: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Between the master's look and the worker's start the folder can vanish: the worker's end would be that of all."""

    def refuse(*_: object) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr("app.web.metrics.registry.Metrics.__init__", refuse)
    with running(settings_for(tmp_path, migrated, metrics_port=free_port())) as api:
        api.app.extensions["postern"].start()
        assert api.get("/v1/whoami").status_code == 200
        assert api.app.extensions["postern"].metrics is None
    assert "this worker counts nothing" in capsys.readouterr().err
