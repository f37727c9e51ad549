"""The doors as a newcomer uses them: `make run`, `make token`, `make demo`."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from dev.processes import free_port

ROOT = Path(__file__).parents[2]


def door(name: str, **settings: str) -> subprocess.Popen[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "PYTHONUNBUFFERED": "1", **settings}
    return subprocess.Popen(
        [sys.executable, "-m", f"dev.{name}"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def descendants(pid: int) -> set[int]:
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = {int(child): int(parent) for child, parent in (line.split() for line in listed.splitlines())}
    found, grew = {pid}, True
    while grew:
        more = {child for child, parent in parents.items() if parent in found} - found
        grew = bool(more)
        found |= more
    return found - {pid}


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGHUP], ids=["ctrl-c", "terminal closed"])
def test_run_when_started_then_the_pasted_lines_work_and_its_end_leaves_no_process(tmp_path: Path, ending: int):
    """`make run`: the lines that get a token and call `/v1/me` print the user's data; Ctrl-C stops everything."""
    ports = {"PORT": str(free_port()), "TENANT_PORT": str(free_port())}
    state = {"TENANT_STATE_DIR": str(tmp_path / "tenant"), "DATABASE_URL": f"sqlite:///{tmp_path / 'postern.db'}"}
    state["JWKS_SNAPSHOT_DIR"] = str(tmp_path / "keys")
    running = door("run", **ports, **state)
    assert running.stdout is not None
    try:
        told = ""
        deadline = time.monotonic() + 60
        while "Ctrl-C stops everything" not in told:
            assert time.monotonic() < deadline, told
            told += running.stdout.readline()
        assert f"PORT={ports['PORT']} TENANT_PORT={ports['TENANT_PORT']} make -s token" in told
        printed = door("print_token", **ports)
        token = printed.communicate(timeout=60)[0].strip()
        assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+", token), token
        me = requests.get(
            f"http://127.0.0.1:{ports['PORT']}/v1/me", headers={"Authorization": f"Bearer {token}"}, timeout=10
        ).json()
        assert (me["name"], me["email"], me["roles"]) == ("Ada Lovelace", "ada@example.org", ["editor"])
        assert me["app_attributes"] == {"plan": "pro"}
        children = descendants(running.pid)
        assert len(children) >= 3
    finally:
        running.send_signal(ending)
        running.communicate(timeout=30)
    assert running.returncode == 0
    for child in children:
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)


def test_run_when_a_port_is_taken_then_it_says_which_and_stops(tmp_path: Path):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        running = door("run", PORT=str(port), TENANT_PORT=str(free_port()), TENANT_STATE_DIR=str(tmp_path))
        told = running.communicate(timeout=30)[0]
    assert running.returncode == 1
    assert f"port {port} is in use" in told


def test_run_when_a_port_is_no_number_then_it_says_so():
    told = (running := door("run", PORT="abc")).communicate(timeout=30)[0]
    assert (running.returncode, told.strip()) == (1, "make run: PORT must be a number, not abc")


def test_token_when_nothing_runs_then_it_says_what_to_do():
    printed = door("print_token", PORT=str(free_port()), TENANT_PORT=str(free_port()))
    told = printed.communicate(timeout=60)[0]
    assert printed.returncode == 1
    assert "make run" in told


def test_demo_when_told_then_every_step_is_as_it_says():
    """`make demo` prints each step of the story with its HTTP status."""
    running = door("demo")
    told = running.communicate(timeout=110)[0]
    assert running.returncode == 0, told
    assert [int(status) for status in re.findall(r"^  (\d{3})  ", told, re.MULTILINE)] == [
        401, 200, 200, 200, 403, 200, 401, 200, 200, 200, 200, 200, 503, 200,
    ]  # fmt: skip
    for code in ("insufficient_scope", "token_expired", "keys_unavailable", "0 failed", "Retry-After"):
        assert code in told
