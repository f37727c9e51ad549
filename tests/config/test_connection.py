"""What a client can send is bounded in time and size, whatever it does, and no thread waits for it."""

import socket
import threading
from collections.abc import Iterator

import pytest
from gunicorn.http.errors import LimitRequestHeaders

from config import connection
from config.connection import MAX_HEAD_BYTES, BoundedConnection
from config.room import Buffers, Room

MAX_BODY_BYTES = 1000
MAX_UNSENT_BYTES = 2 * 1024 * 1024
ROOM_BYTES = 16 * 1024 * 1024
HEAD = b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"

Ends = tuple[BoundedConnection, socket.socket]


@pytest.fixture
def buffers() -> Buffers:
    return Buffers(ROOM_BYTES)


@pytest.fixture
def ends(buffers: Buffers) -> Iterator[Ends]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.settimeout(10)
    with ours, theirs:
        yield BoundedConnection(ours, Room(MAX_BODY_BYTES, MAX_UNSENT_BYTES, buffers, buffers)), theirs


def arrived(ends: Ends, data: bytes) -> bool:
    """Send, and let it arrive; tell whether a thread has something to do."""
    bounded, theirs = ends
    for start in range(0, len(data), 4096):
        theirs.sendall(data[start : start + 4096])
        if bounded.arrive():
            return True
    return False


def read_on(bounded: BoundedConnection) -> None:
    while bounded.recv(8192):
        pass


def test_request_when_it_comes_in_pieces_then_a_thread_is_asked_when_it_is_whole(ends):
    assert not ends[0].arrive()
    assert not arrived(ends, HEAD[:20])
    assert not arrived(ends, HEAD[20:] % 5 + b"abcd")
    assert arrived(ends, b"e")
    ends[0].hand_over()
    assert ends[0].recv(65_536) == HEAD % 5 + b"abcde"
    assert ends[0].has_all


def test_read_when_the_next_request_is_there_too_then_not_across_the_end(ends):
    assert arrived(ends, HEAD % 2 + b"ab" + GET)
    ends[0].hand_over()
    assert ends[0].recv(65_536) == HEAD % 2 + b"ab"
    assert ends[0].has_all
    ends[0].begin()
    assert ends[0].is_ready()
    ends[0].hand_over()
    assert ends[0].recv(65_536) == GET


def test_head_when_larger_than_its_bound_then_refused_as_431(ends):
    """RFC 6585 §5: 431 when the set of header fields in its totality is too large."""
    assert arrived(ends, b"GET / HTTP/1.1\r\nX: " + b"a" * MAX_HEAD_BYTES)
    ends[0].hand_over()
    with pytest.raises(LimitRequestHeaders):
        read_on(ends[0])


def test_head_when_just_within_its_bound_then_read(ends):
    filling = b"a" * (MAX_HEAD_BYTES - len(GET) - 5)
    head = GET[:-2] + b"X: " + filling + b"\r\n\r\n"
    assert len(head) == MAX_HEAD_BYTES
    assert arrived(ends, head)
    ends[0].hand_over()
    assert sum(len(ends[0].recv(8192)) for _ in range(MAX_HEAD_BYTES // 8192)) == MAX_HEAD_BYTES


@pytest.mark.parametrize(("more", "is_refused_at_once"), [(0, False), (1, True)])
def test_body_when_said_to_be_too_large_then_refused_before_it_comes(ends, more, is_refused_at_once):
    assert arrived(ends, HEAD % (MAX_BODY_BYTES + more)) is is_refused_at_once
    assert not ends[0].is_whole


def test_body_when_far_larger_than_any_honest_framing_then_the_connection_ends(ends):
    head = b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert arrived(ends, head + b"1\r\na\r\n" * (2 * MAX_BODY_BYTES + MAX_HEAD_BYTES))
    ends[0].hand_over()
    assert ends[0].recv(len(head)) == head
    ends[0].begin_body()
    with pytest.raises(ConnectionResetError):
        read_on(ends[0])


@pytest.mark.parametrize("sent", [b"", b"GET / HT", HEAD % 5 + b"abc"])
def test_read_when_the_rest_has_not_come_then_the_connection_ends_and_no_thread_waits(ends, sent):
    """RFC 9112 §9.5: a server may close a connection that is not completed in time."""
    arrived(ends, sent)
    ends[0].hand_over()
    assert sent == b"" or ends[0].recv(8192) == sent
    with pytest.raises(ConnectionResetError):
        ends[0].recv(10)
    # A byte that comes too late changes nothing: it might be taken for the next request's.
    ends[1].sendall(b"a")
    with pytest.raises(ConnectionResetError):
        ends[0].recv(10)


def test_read_when_the_client_has_closed_its_end_then_the_end(ends):
    arrived(ends, HEAD % 5 + b"abc")
    ends[1].shutdown(socket.SHUT_WR)
    assert ends[0].arrive()
    ends[0].hand_over()
    assert ends[0].recv(8192) == HEAD % 5 + b"abc"
    assert ends[0].recv(8192) == b""
    assert not ends[0].is_whole


def test_body_when_there_is_no_room_left_then_nobody_waits_for_it(ends, buffers):
    """All connections of a worker together hold no more than one sum of bytes."""
    assert buffers.take(ROOM_BYTES)
    assert arrived(ends, HEAD % 5 + b"abc")
    ends[0].hand_over()
    assert ends[0].recv(8192) == HEAD % 5 + b"abc"
    with pytest.raises(ConnectionResetError):
        ends[0].recv(10)
    buffers.give(ROOM_BYTES)
    assert buffers.take(ROOM_BYTES), "what was read has given its room back"


def test_request_when_it_is_whole_although_there_is_no_room_then_the_connection_may_be_kept(ends, buffers):
    assert buffers.take(ROOM_BYTES)
    assert arrived(ends, HEAD % 5 + b"abcde")
    assert ends[0].is_whole


@pytest.mark.parametrize("asks", [True, False])
def test_client_when_it_waits_to_be_asked_for_the_body_then_asked_once(ends, asks):
    """RFC 9110 §10.1.1; gunicorn invites too, from the thread."""
    field = b"Expect: 100-continue\r\n" if asks else b""
    assert not arrived(ends, HEAD[:-2] % 5 + field + b"\r\n")
    assert arrived(ends, b"abcde")
    ends[0].hand_over()
    if asks:
        assert ends[0].send(b"HTTP/1.1 100 Continue\r\n\r\n") == 25
    ends[0].sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    ends[0].flush()
    ends[0].close()
    told = b"".join(iter(lambda: ends[1].recv(100), b""))
    assert told == (b"HTTP/1.1 100 Continue\r\n\r\n" if asks else b"") + b"HTTP/1.1 200 OK\r\n\r\n"


@pytest.mark.parametrize("body", [b"abcde", b""])
def test_client_when_its_body_is_there_or_too_large_then_not_asked_for_it(ends, body):
    """RFC 9110 §10.1.1: a final status instead, where the server can tell from the head."""
    head = HEAD % (len(body) or MAX_BODY_BYTES + 1)
    assert arrived(ends, head[:-2] + b"Expect: 100-continue\r\n\r\n" + body)
    ends[0].hand_over()
    assert ends[0].send(b"HTTP/1.1 100 Continue\r\n\r\n") == 25
    ends[0].close()
    assert ends[1].recv(100) == b""


def test_write_when_the_other_side_reads_then_all_of_it(ends):
    ends[0].sendall(b"head")
    ends[0].sendall(b"body")
    assert ends[1].recv(100) == b"headbody"
    ends[0].sendall(b"more")
    assert ends[1].recv(100) == b"more"
    assert not ends[0].has_unsent


def test_write_when_nothing_follows_the_head_then_sent_at_the_end_and_once(ends):
    """204, 304 and HEAD have no body."""
    ends[0].sendall(b"head")
    ends[1].setblocking(False)
    with pytest.raises(BlockingIOError):
        ends[1].recv(100)
    ends[0].flush()
    ends[0].flush()
    assert ends[1].recv(100) == b"head"
    # The next answer has a head of its own.
    ends[0].begin()
    ends[0].sendall(b"next ")
    ends[0].sendall(b"one")
    ends[0].flush()
    assert ends[1].recv(100) == b"next one"


def test_write_when_it_ends_in_the_midst_then_the_head_is_not_sent_again(ends, monkeypatch):
    monkeypatch.setattr(connection, "WRITE_SECONDS", 0.05)
    ends[0].sendall(b"head")
    with pytest.raises(ConnectionResetError):
        ends[0].sendall(b"a" * (3 * MAX_UNSENT_BYTES))
    ends[0].flush()
    ends[0].close()
    received = b"".join(iter(lambda: ends[1].recv(65_536), b""))
    assert received.startswith(b"heada")
    assert received.count(b"head") == 1


def test_shutdown_when_a_head_is_held_then_sent_first(ends):
    """So gunicorn closes after an application's fault: what it has begun to say is said."""
    ends[0].sendall(b"head")
    ends[0].shutdown(socket.SHUT_WR)
    assert ends[1].recv(100) == b"head"
    assert ends[1].recv(100) == b""


def test_socket_when_gunicorn_lets_it_block_then_it_does_not(ends):
    """Each change is a system call, and lets another thread have the interpreter in the midst of a request."""
    ends[0].setblocking(True)
    ends[0].settimeout(5)
    assert not ends[0].arrive()
    assert ends[0].gettimeout() == 0


def test_write_when_the_other_side_does_not_read_then_kept_and_sent_in_order(ends, buffers):
    """A thread that waited for one client would keep all others waiting."""
    answer = bytes(range(256)) * 4096
    assert len(answer) < MAX_UNSENT_BYTES
    ends[0].sendall(answer)
    ends[0].sendall(b"end")
    assert ends[0].has_unsent
    received = bytearray()
    while ends[0].has_unsent:
        received += ends[1].recv(65_536)
        ends[0].send_more()
    ends[0].close()
    while more := ends[1].recv(65_536):
        received += more
    assert received == answer + b"end"
    assert buffers.take(ROOM_BYTES)


def test_write_when_more_than_one_connection_may_keep_then_the_thread_waits_for_the_client(ends):
    """An export is larger than what is kept: it goes at the client's pace."""
    answer = b"a" * (2 * MAX_UNSENT_BYTES)
    received = bytearray()

    def read() -> None:
        while len(received) < len(answer):
            received.extend(ends[1].recv(65_536))

    reader = threading.Thread(target=read)
    reader.start()
    for start in range(0, len(answer), 65_536):
        ends[0].sendall(answer[start : start + 65_536])
    while ends[0].has_unsent:
        ends[0].send_more()
    reader.join(30)
    assert received == answer


def test_write_when_the_client_takes_nothing_in_time_then_given_up(ends, monkeypatch):
    monkeypatch.setattr(connection, "WRITE_SECONDS", 0.05)
    with pytest.raises(ConnectionResetError):
        ends[0].sendall(b"a" * (3 * MAX_UNSENT_BYTES))
    assert not ends[0].has_unsent, "nobody tries again"


def test_write_when_there_is_no_room_left_then_no_thread_waits_for_the_client(ends, buffers):
    """Whoever fills the room must not hold the threads of all others; the poller makes room afterwards."""
    assert buffers.take(ROOM_BYTES)
    ends[0].sendall(b"a" * MAX_UNSENT_BYTES)
    assert ends[0].has_unsent
    assert buffers.are_full
    ends[0].close()
    assert not buffers.are_full


def test_goodbye_when_something_is_left_then_forgotten_and_its_room_given_back(ends, buffers):
    """RFC 9112 §9.6: a server closes its end first, and reads on for a while."""
    arrived(ends, HEAD % 500 + b"a" * 100)
    ends[0].begin_goodbye()
    assert buffers.take(ROOM_BYTES)
    assert ends[1].recv(10) == b""
    ends[1].sendall(b"b")
    assert not ends[0].discard()
    ends[1].shutdown(socket.SHUT_WR)
    assert ends[0].discard()


def test_close_when_bytes_are_held_then_their_room_is_given_back(ends, buffers):
    arrived(ends, HEAD % 500 + b"a" * 100)
    ends[0].sendall(b"a" * MAX_UNSENT_BYTES)
    ends[0].close()
    assert buffers.take(ROOM_BYTES)
