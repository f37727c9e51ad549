"""A worker that has no place, or no file, left: it lets go of whoever came first, and goes on."""

import os
import signal
import socket
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from tests.support.gunicorn_server import GunicornServer

PLACES, FILES = 20, 80
GET = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
ONE_WORKER = {"WEB_CONCURRENCY": "1", "WEB_THREADS": "2"}


class WithFewFiles(GunicornServer):
    """What `ulimit -n` does to a server that is started from a shell."""

    def command(self) -> list[str]:
        return ["sh", "-c", f'ulimit -n {FILES} && exec "$@"', "sh", *super().command()]


def connections(stack: ExitStack, server: GunicornServer, count: int) -> list[socket.socket]:
    address = ("127.0.0.1", server.port)
    return [stack.enter_context(socket.create_connection(address, timeout=20)) for _ in range(count)]


def is_as_before(server: GunicornServer, worker: set[int]) -> bool:
    answer = requests.get(server.url + "/livez", timeout=20)
    loud = [line for line in server.lines() if line["level"] in {"warning", "error", "critical"}]
    return answer.status_code == 200 and server.workers() == worker and not loud


@pytest.mark.parametrize("sent_before", [GET, GET[:9]], ids=["kept", "arriving"])
def test_connection_when_it_speaks_as_a_newcomer_takes_its_place_then_the_worker_goes_on(
    tmp_path: Path, sent_before: bytes
) -> None:
    """Both are in one round of events: what was closed at the first had its callback at the second, a KeyError."""
    options = {"GUNICORN_CMD_ARGS": f"--worker-connections {PLACES}"}
    with GunicornServer.without_tenant(tmp_path, **ONE_WORKER, **options).running() as server, ExitStack() as stack:
        worker = server.workers()
        first = connections(stack, server, PLACES * 9 // 10)
        for connection in first:
            connection.sendall(sent_before)
            if sent_before == GET:
                assert connection.recv(9) == b"HTTP/1.1 "
        time.sleep(0.5)
        for pid in worker:
            os.kill(pid, signal.SIGSTOP)
        newcomers = connections(stack, server, 1)
        time.sleep(0.1)
        for connection in first:
            connection.sendall(GET[len(sent_before) % len(GET) :])
        newcomers[0].sendall(GET)
        time.sleep(0.1)
        for pid in worker:
            os.kill(pid, signal.SIGCONT)
        assert newcomers[0].recv(12) == b"HTTP/1.1 200"
        assert is_as_before(server, worker)


def test_connections_when_there_are_more_than_files_then_the_worker_goes_on(tmp_path: Path) -> None:
    """A worker that died of EMFILE took with it everything that its threads were doing."""
    with WithFewFiles.without_tenant(tmp_path, **ONE_WORKER).running() as server, ExitStack() as stack:
        worker = server.workers()
        for connection in connections(stack, server, 2 * FILES):
            connection.sendall(GET)
        assert is_as_before(server, worker)
