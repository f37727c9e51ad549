"""Slow clients, many more than there are threads: everybody else is answered meanwhile."""

import json
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import requests

from tests.support import tokens
from tests.support.gunicorn_server import AUDIENCE, GunicornServer

THREADS, SLOW = 2, 30
# Far more than a good answer takes here, and far less than 30 slow clients would hold two threads.
PATIENCE_SECONDS = 20
DOCUMENT, DOCUMENTS = "/v1/openapi.json", 150
SCOPES = "read:profile read:records write:records"
FIELDS = b"Host: x\r\nContent-Type: application/json\r\n"
PUT = b"PUT /v1/collections/notes/records/slow HTTP/1.1\r\n" + FIELDS

Begin = Callable[[socket.socket, bytes], None]


def token() -> str:
    now = int(time.time())
    claims = {"iss": tokens.ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + 600, "scope": SCOPES}
    return tokens.mint(tokens.rsa_key(), None, claims)


def authorization() -> bytes:
    return f"Authorization: Bearer {token()}\r\n".encode()


def silent(connection: socket.socket, _authorization: bytes) -> None:
    """Connects, and says nothing."""


def half_a_head(connection: socket.socket, _authorization: bytes) -> None:
    connection.sendall(b"GET /v1/whoami HTTP/1.1\r\nHos")


def half_a_body(connection: socket.socket, authorization: bytes) -> None:
    connection.sendall(PUT + authorization + b"Content-Length: 1000\r\n\r\n{")


def half_a_body_without_token(connection: socket.socket, _authorization: bytes) -> None:
    connection.sendall(PUT + b"Content-Length: 1000\r\n\r\n{")


def half_a_chunk(connection: socket.socket, authorization: bytes) -> None:
    connection.sendall(PUT + authorization + b"Transfer-Encoding: chunked\r\n\r\n10\r\n{")


def asked_for_a_body(connection: socket.socket, authorization: bytes) -> None:
    connection.sendall(PUT + authorization + b"Expect: 100-continue\r\nContent-Length: 1000\r\n\r\n")


def too_much_announced(connection: socket.socket, authorization: bytes) -> None:
    connection.sendall(PUT + authorization + b"Content-Length: 99000000\r\n\r\n{")


def reads_nothing(connection: socket.socket, _authorization: bytes) -> None:
    """Asks for more than the kernel keeps, and reads none of it."""
    connection.sendall((b"GET " + DOCUMENT.encode() + b" HTTP/1.1\r\nHost: x\r\n\r\n") * DOCUMENTS)


def kept(connection: socket.socket, _authorization: bytes) -> None:
    """Is answered, and keeps the connection for more."""
    connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")


def never_closes(connection: socket.socket, _authorization: bytes) -> None:
    """Is answered, and told that the connection ends; keeps its own end open."""
    connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")


KINDS = (silent, half_a_head, half_a_body, half_a_body_without_token, half_a_chunk, asked_for_a_body,
         too_much_announced, never_closes)  # fmt: skip


@contextmanager
def slow_clients(server: GunicornServer, begin: Begin, count: int = SLOW) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        connections = []
        for _ in range(count):
            connection = stack.enter_context(socket.socket())
            # A small window: what the client does not read soon fills the server's side.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", server.port))
            begin(connection, authorization())
            connections.append(connection)
        yield connections


def ask(server: GunicornServer, seconds: float = PATIENCE_SECONDS) -> int:
    fields = {"Authorization": f"Bearer {token()}"}
    return requests.get(server.url + "/v1/whoami", headers=fields, timeout=seconds).status_code


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    directory: Path = tmp_path_factory.mktemp("slow")
    settings = {"WEB_CONCURRENCY": "1", "WEB_THREADS": str(THREADS)}
    with GunicornServer.without_tenant(directory, **settings).running() as found:
        yield found


def ask_often(server: GunicornServer, seconds: float = PATIENCE_SECONDS) -> set[int]:
    """Ask for some seconds: what the kernel keeps of answers that nobody reads takes a while to fill."""
    statuses = set()
    for _ in range(40):
        statuses.add(ask(server, seconds))
        time.sleep(0.1)
    return statuses


@pytest.mark.parametrize("begin", KINDS)
def test_slow_clients_when_many_more_than_threads_then_all_others_are_answered(server: GunicornServer, begin: Begin):
    """No thread waits for a client, and neither does the loop that accepts them."""
    with slow_clients(server, begin):
        assert [ask(server) for _ in range(5)] == [200] * 5
    assert ask(server) == 200
    assert not [line for line in server.lines() if line["level"] in {"error", "critical"}]


def test_slow_clients_when_they_read_nothing_then_all_others_are_answered(server: GunicornServer):
    """A large answer that is not taken leaves its thread."""
    with slow_clients(server, reads_nothing, 6):
        assert ask_often(server) == {200}
    assert not [line for line in server.lines() if line["level"] in {"error", "critical"}]


@pytest.mark.parametrize(("begin", "count"), [(silent, SLOW), (half_a_body_without_token, SLOW), (reads_nothing, 6)])
def test_slow_clients_when_on_gunicorns_own_worker_then_nobody_is_answered(tmp_path: Path, begin: Begin, count: int):
    """The control: what gthread does with the same clients."""
    settings = {"WEB_CONCURRENCY": "1", "WEB_THREADS": str(THREADS), "GUNICORN_CMD_ARGS": "--worker-class gthread"}
    with GunicornServer.without_tenant(tmp_path, **settings).running() as naive:
        assert ask(naive) == 200
        with slow_clients(naive, begin, count), pytest.raises(requests.Timeout):
            ask_often(naive, 5)
        naive.process.send_signal(signal.SIGQUIT)


def test_body_when_it_does_not_come_in_time_then_408_and_nothing_is_stored(tmp_path: Path):
    """U3: such a request may be sent again; half a head has nobody to answer to."""
    worker = "--worker-class tests.support.impatient.ImpatientWorker"
    settings = {"WEB_CONCURRENCY": "1", "WEB_THREADS": str(THREADS), "GUNICORN_CMD_ARGS": worker}
    with GunicornServer.without_tenant(tmp_path, **settings).running() as impatient:
        for begin in (half_a_body, half_a_chunk):
            with slow_clients(impatient, begin, 6) as connections:
                answers = [read_all(connection) for connection in connections]
            assert [answer[9:12] for answer in answers] == [b"408"] * 6
            assert {json.loads(answer.partition(b"\r\n\r\n")[2])["code"] for answer in answers} == {"request_timeout"}
        with slow_clients(impatient, half_a_head, 6) as connections:
            assert {read_all(connection) for connection in connections} == {b""}
        gone = impatient.get(token(), "/v1/collections/notes/records/slow")
        assert gone.status_code == 404


def test_requests_when_they_come_byte_by_byte_and_several_at_once_then_each_is_answered_in_its_turn(
    server: GunicornServer,
):
    """RFC 9112 §9.3.2: answers in the order of the requests."""
    stored = PUT + authorization() + b'Content-Length: 15\r\n\r\n{"data":{"a":1}}'[:-1] + b"}"
    stored = stored.replace(b"Content-Length: 15", b"Content-Length: 16")
    read = b"GET /v1/collections/notes/records/slow HTTP/1.1\r\nHost: x\r\n" + authorization() + b"\r\n"
    last = read.replace(b"Host: x", b"Host: x\r\nConnection: close")
    data = stored + read + PUT + authorization() + b"Transfer-Encoding: chunked\r\n\r\n"
    data += b'10\r\n{"data":{"a":2}}\r\n0\r\n\r\n' + last
    for step in (len(data), 700, 1):
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for start in range(0, len(data), step):
                connection.sendall(data[start : start + step])
            answer = read_all(connection)
        assert answer.count(b"HTTP/1.1 ") == 4
        assert [answer.count(member) for member in (b'"a":1', b'"a":2')] == [2, 2]
        statuses = [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]]
        assert statuses in ([b"201", b"200", b"200", b"200"], [b"200"] * 4)


def test_client_when_it_reads_late_then_all_of_a_large_answer(server: GunicornServer):
    """What a client does not take at once is kept for it, and no thread with it."""
    expected = requests.get(server.url + DOCUMENT, timeout=PATIENCE_SECONDS).content
    with slow_clients(server, reads_nothing, 3) as connections:
        assert ask(server) == 200
        for connection in connections:
            connection.shutdown(socket.SHUT_WR)
            answers = read_all(connection).split(b"HTTP/1.1 200 OK")[1:]
            assert [answer.partition(b"\r\n\r\n")[2] == expected for answer in answers] == [True] * DOCUMENTS


def test_bodies_when_more_than_the_worker_has_room_for_then_408_for_some_and_the_rest_of_the_api_goes_on(
    server: GunicornServer,
):
    """Half-sent bodies of all clients together are bounded; when they are gone their room is there again."""

    def most_of_a_megabyte(connection: socket.socket, authorization: bytes) -> None:
        connection.sendall(PUT + authorization + b"Content-Length: 1048576\r\n\r\n" + b" " * 1_040_000)

    for _ in range(2):
        with slow_clients(server, most_of_a_megabyte, 40) as connections:
            assert [ask(server) for _ in range(3)] == [200] * 3
            server.wait_until(lambda: sum(map(has_answer, connections)) >= 5)
            refused = [connection for connection in connections if has_answer(connection)]
            assert len(refused) < 20
            assert {read_all(connection)[9:12] for connection in refused} == {b"408"}


def test_connections_when_all_places_are_taken_then_the_oldest_make_room(tmp_path: Path):
    """Half-sent bodies may stay for a minute, kept connections too: newcomers must not wait for them."""
    more = {"GUNICORN_CMD_ARGS": "--worker-connections 20"}
    settings = {"WEB_CONCURRENCY": "1", "WEB_THREADS": str(THREADS), **more}
    with GunicornServer.without_tenant(tmp_path, **settings).running() as small:
        for begin in (half_a_body_without_token, kept):
            with slow_clients(small, begin, 60):
                assert [ask(small) for _ in range(5)] == [200] * 5
        with slow_clients(small, half_a_body, 10) as connections:
            assert ask(small) == 200
            assert not any(map(has_answer, connections)), "as long as there are places nobody has to go"


def test_stop_when_slow_clients_are_there_then_it_does_not_wait_for_those_who_say_nothing(tmp_path: Path):
    settings = {"WEB_CONCURRENCY": "1", "WEB_THREADS": str(THREADS)}
    with (
        GunicornServer.without_tenant(tmp_path, **settings).running() as stopping,
        slow_clients(stopping, silent),
        slow_clients(stopping, never_closes),
    ):
        assert ask(stopping) == 200
        assert stopping.stop() == 0
        assert not [line for line in stopping.lines() if line["level"] in {"warning", "error", "critical"}]


def has_answer(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return bool(connection.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False
    finally:
        connection.settimeout(PATIENCE_SECONDS)


def read_all(connection: socket.socket) -> bytes:
    connection.settimeout(60)
    return b"".join(iter(lambda: connection.recv(65_536), b""))
