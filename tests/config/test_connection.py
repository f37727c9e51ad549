"""What a client can send is bounded in time and size, whatever it does."""

import socket
from collections.abc import Iterator

import pytest
from gunicorn.http.errors import LimitRequestHeaders

from config import connection
from config.connection import MAX_HEAD_BYTES, BoundedConnection


@pytest.fixture
def ends() -> Iterator[tuple[BoundedConnection, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield BoundedConnection(ours, max_body_bytes=1000), theirs


def read_all(bounded: BoundedConnection, theirs: socket.socket, count: int) -> None:
    for _ in range(count // 4096 + 1):
        theirs.sendall(b"a" * 4096)
        received = 0
        while received < 4096:
            received += len(bounded.recv(4096 - received))


def test_head_when_larger_than_its_bound_then_refused_as_431(ends):
    """RFC 6585 §5: 431 when the set of header fields in its totality is too large."""
    with pytest.raises(LimitRequestHeaders):
        read_all(*ends, MAX_HEAD_BYTES + 8192)


def test_body_when_far_larger_than_any_honest_framing_then_the_connection_ends(ends):
    ends[0].begin_body()
    with pytest.raises(ConnectionResetError):
        read_all(*ends, 2 * 1000 + MAX_HEAD_BYTES + 8192)


def test_next_request_when_it_begins_then_its_bounds_are_fresh(ends):
    read_all(*ends, MAX_HEAD_BYTES - 8192)
    ends[0].begin_head()
    read_all(*ends, MAX_HEAD_BYTES - 8192)
    ends[1].sendall(b"more")
    assert ends[0].recv(10) == b"more"


@pytest.mark.parametrize("begin", ["begin_head", "begin_body"])
def test_read_when_nothing_comes_in_time_then_the_connection_ends(ends, monkeypatch, begin):
    """RFC 9112 §9.5: a server may close a connection that is not completed in time."""
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.05)
    monkeypatch.setattr(connection, "BODY_SECONDS", 0.05)
    getattr(ends[0], begin)()
    with pytest.raises(ConnectionResetError):
        ends[0].recv(10)
    # A byte that comes too late changes nothing: the deadline is the whole request's, not each read's.
    ends[1].sendall(b"a")
    with pytest.raises(ConnectionResetError):
        ends[0].recv(10)


def test_write_when_the_other_side_reads_then_all_of_it(ends):
    ends[0].sendall(b"answer")
    assert ends[1].recv(10) == b"answer"
