"""Metrics never end the API: whatever happens to the folder in which the workers count, and to their port."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from dev.processes import free_port, is_taken
from tests.support import tokens
from tests.support.gunicorn_server import GunicornServer

COUNT = 'postern_http_request_seconds_count{method="GET",route="/v1/whoami",status="200"}'


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GunicornServer]:
    server = GunicornServer.without_tenant(tmp_path, METRICS_PORT=str(free_port()))
    yield server
    server.stop()


def whoami(server: GunicornServer) -> int:
    now = int(time.time())
    claims = {"aud": "https://api.example", "iat": now, "exp": now + 600, "scope": "read:profile"}
    return server.get(tokens.mint(tokens.rsa_key(), None, claims)).status_code


def scrape(server: GunicornServer) -> dict[str, float] | None:
    """What the port tells; None where nobody serves it."""
    try:
        found = requests.get(f"http://127.0.0.1:{server.settings['METRICS_PORT']}/metrics", timeout=30)
    except requests.ConnectionError:
        return None
    if found.status_code != 200:
        return None
    lines = (line for line in found.text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def counts(server: GunicornServer) -> float | None:
    told = scrape(server)
    return None if told is None else told.get(COUNT, 0)


def folder_of(server: GunicornServer) -> Path:
    parent = Path("/dev/shm") if Path("/dev/shm").is_dir() else Path("/tmp")
    (folder,) = parent.glob(f"postern-metrics-{server.process.pid}-*")
    return folder


def said(server: GunicornServer, words: str) -> list[str]:
    """Each line that says so; every line of the log is JSON."""
    return [line["level"] for line in server.lines() if words in line["event"]]


def wait_until(condition: Callable[[], bool]) -> None:
    """As the server's own, which wants the process that it has started."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_folder_when_the_operators_is_not_there_then_made(server: GunicornServer, tmp_path: Path):
    folder = tmp_path / "not" / "there"
    server.start(PROMETHEUS_MULTIPROC_DIR=str(folder))
    assert whoami(server) == 200
    assert counts(server) == 1
    assert list(folder.glob("*.db"))
    assert server.stop() == 0
    assert folder.is_dir()


def test_folder_when_it_cannot_be_made_then_one_line_and_the_api_without_metrics(
    server: GunicornServer, tmp_path: Path
):
    """Gunicorn ended with status 3, and a bare `[Errno 2]` between the lines of the log."""
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "folder"
    server.start(PROMETHEUS_MULTIPROC_DIR=str(folder))
    assert whoami(server) == 200
    assert scrape(server) is None
    assert said(server, f"the folder {folder} in which the workers count cannot be used") == ["error"]
    (tmp_path / "file").unlink()
    server.reload()
    assert whoami(server) == 200
    assert counts(server) == 1


def test_folder_when_it_vanishes_then_the_next_worker_makes_it_anew(server: GunicornServer):
    """The next worker that died took all of them down: "Worker failed to boot", status 3."""
    server.start()
    folder = folder_of(server)
    assert whoami(server) == 200
    shutil.rmtree(folder)
    assert {whoami(server) for _ in range(6)} == {200}
    assert scrape(server) is None
    before = server.workers()
    os.kill(min(before), signal.SIGKILL)
    server.wait_until(lambda: len(server.workers() - before) == 1)
    server.wait_until(lambda: scrape(server) is not None)
    assert folder_of(server) == folder
    assert {whoami(server) for _ in range(6)} == {200}
    server.reload()
    assert whoami(server) == 200
    assert counts(server) is not None
    assert said(server, f"the folder {folder} in which the workers count was gone") == ["error"]
    assert server.process.poll() is None


def test_port_when_another_instance_has_it_then_said_so_and_its_numbers_stay_alone(
    server: GunicornServer, tmp_path: Path
):
    """With SO_REUSEPORT the kernel gives it to both: a scrape was told by one or the other."""
    server.start()
    (tmp_path / "other").mkdir()
    port = server.settings["METRICS_PORT"]
    with GunicornServer.without_tenant(tmp_path / "other", METRICS_PORT=port).running() as other:
        assert [whoami(other) for _ in range(3)] == [200] * 3
        assert whoami(server) == 200
        assert {counts(server) for _ in range(12)} == {1}
        assert said(other, f"METRICS_PORT {port}") == ["error"]
        server.stop()
        other.reload()
        assert whoami(other) == 200
        assert counts(other) == 1
        assert said(other, f"METRICS_PORT {port}") == ["error"]


def test_port_when_our_own_workers_have_it_then_a_reload_says_nothing(server: GunicornServer):
    server.start()
    assert whoami(server) == 200
    server.reload()
    assert whoami(server) == 200
    assert counts(server) == 2
    assert said(server, "METRICS_PORT") == []


class Installed(GunicornServer):
    """By the installed command: started again as `python -m gunicorn`, its own folder would come before the library."""

    def command(self) -> list[str]:
        return [str(Path(sys.executable).with_name("gunicorn")), *super().command()[3:]]


def test_port_when_a_successor_is_started_then_it_says_nothing_and_serves(tmp_path: Path):
    """SIGUSR2: the workers of the master of before have the port still."""
    server = Installed.without_tenant(tmp_path, METRICS_PORT=str(free_port()))
    server.start()
    old = server.process.pid
    os.kill(old, signal.SIGUSR2)

    def successors() -> set[int]:
        listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
        parents = {int(pid): int(parent) for pid, parent in (line.split() for line in listed.splitlines())}
        return {parent for parent in parents.values() if parents.get(parent) == old}

    server.wait_until(lambda: len(successors()) == 1)
    (new,) = successors()
    try:
        server.wait_until(lambda: said(server, "Using worker") == ["info", "info"])
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) == 0
        wait_until(lambda: said(server, "Master has been promoted") == ["info"])
        assert requests.get(server.url + "/livez", timeout=30).status_code == 200
        wait_until(lambda: scrape(server) is not None)
        assert said(server, "METRICS_PORT") == []
    finally:
        os.kill(new, signal.SIGTERM)
        wait_until(lambda: not is_taken(server.port))


def test_folder_when_the_master_was_killed_then_the_next_start_removes_it_and_no_other(
    server: GunicornServer, tmp_path: Path
):
    (tmp_path / "other").mkdir()
    with GunicornServer.without_tenant(tmp_path / "other", METRICS_PORT=str(free_port())).running() as other:
        server.start()
        folder = folder_of(server)
        workers = server.workers()
        server.process.kill()
        server.process.wait()
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
        server.start()
        assert not folder.exists()
        assert whoami(other) == 200
        assert counts(other) == 1
        assert folder_of(other).is_dir()
    assert server.stop() == 0
    assert not list(folder.parent.glob(f"postern-metrics-{server.process.pid}-*"))


def test_reload_when_again_and_again_then_no_file_of_the_dead_but_one_of_each_kind(server: GunicornServer):
    """Each worker that ended left two files for good, and every scrape read them all."""
    server.start()
    folder, told, stop = folder_of(server), [0.0], threading.Event()

    def ask() -> None:
        while not stop.is_set():
            number = counts(server)
            if number is not None:  # a listener that closes takes with it who waits there
                told.append(number)

    asker = threading.Thread(target=ask)
    asker.start()
    for _ in range(3):
        assert {whoami(server) for _ in range(5)} == {200}
        server.reload()
    stop.set()
    asker.join()
    server.wait_until(lambda: len({file.name.rsplit("_", 1)[1] for file in folder.glob("*.db")}) == 3)
    names = {file.name for file in folder.glob("*.db") if "dead" in file.name}
    assert names == {"counter_dead.db", "histogram_dead.db"}
    assert counts(server) == 15
    assert told == sorted(told)  # never less, and never twice: it would fall again
    assert max(told) <= 15


def test_stop_when_a_scraper_is_slow_then_it_ends_without_waiting_for_it(server: GunicornServer):
    """It took 30 s, gunicorn's patience: shutdown() waited for the handler, and the handler for the next byte."""
    server.start()
    over = threading.Event()

    def drip(connection: socket.socket) -> None:
        try:
            while not over.wait(0.2):
                connection.sendall(b"X")
        except OSError:
            connection.close()

    slow = [socket.create_connection(("127.0.0.1", int(server.settings["METRICS_PORT"]))) for _ in range(12)]
    for connection in slow:
        connection.sendall(b"GET /metrics HTTP/1.1\r\n")
        threading.Thread(target=drip, args=(connection,)).start()
    try:
        assert [counts(server) for _ in range(4)] == [0] * 4
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 0
    finally:
        over.set()
        for connection in slow:
            connection.close()
