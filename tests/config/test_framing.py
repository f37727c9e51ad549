"""Where a request ends, as the poller sees it; gunicorn's own parser is the judge."""

import io
import socket

import pytest
from gunicorn.config import Config
from gunicorn.http.errors import NoMoreData, ParseException
from gunicorn.http.parser import RequestParser
from hypothesis import given
from hypothesis import strategies as st

from config.framing import MAX_CHUNK_LINE, RequestFrame

GET = b"GET /v1/me HTTP/1.1\r\nHost: x\r\n\r\n"
PUT = b"PUT /v1/me HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabcde"
CHUNKED = b"PUT /v1/me HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
REQUESTS = (
    GET,
    PUT,
    PUT.replace(b"Content-Length", b"content-length").replace(b": 5", b":5 "),
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    CHUNKED + b"0\r\n\r\n",
    CHUNKED + b"3\r\nabc\r\n0\r\n\r\n",
    CHUNKED + b"3;name=value\r\nabc\r\n00a\r\n0\r\n\r\n56789\r\n0\r\n\r\n",
    CHUNKED + b"1\r\nx\r\n0\r\nX-Checksum: 1\r\n\r\n",
    CHUNKED + b"7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n",
)


def whole_after(data: bytes, step: int = 1) -> int | None:
    """Feed the bytes in pieces; give after how many the request was whole."""
    frame, arrived = RequestFrame(), bytearray()
    for start in range(0, len(data), step):
        arrived += data[start : start + step]
        if frame.look(arrived):
            return len(arrived)
    return None


def read_by_gunicorn(data: bytes) -> int:
    """Let gunicorn read one request and its body; give how many bytes it took."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(data)
        theirs.shutdown(socket.SHUT_WR)
        parser = RequestParser(Config(), ours, ("127.0.0.1", 1))
        request = next(parser)
        while request.body.read(1024):
            pass
        left = parser.unreader.take_buffered()
        while more := ours.recv(65_536):
            left += more
    return len(data) - len(left)


@pytest.mark.parametrize("step", [1, 2, 3, 7, 65_536])
@pytest.mark.parametrize("data", REQUESTS)
def test_frame_when_a_request_comes_in_pieces_then_whole_with_its_last_byte(data: bytes, step: int):
    """RFC 9112 §6: by Content-Length, by chunks, or by the end of the head."""
    assert whole_after(data, step) == min(-(-len(data) // step) * step, len(data))
    assert whole_after(data[:-1], step) is None


@pytest.mark.parametrize("data", REQUESTS)
def test_frame_when_another_request_follows_then_it_ends_where_gunicorn_says(data: bytes):
    frame = RequestFrame()
    assert frame.look(bytearray(data + GET))
    assert frame.end == read_by_gunicorn(data + GET) == len(data)


@pytest.mark.parametrize(
    "body", [b"zz\r\n", b"-2\r\n", b"0x5\r\n", b"5_0\r\n", b"\r\n", b"1" * MAX_CHUNK_LINE, b"f" * 16 + b"\r\n"]
)
def test_frame_when_the_chunks_are_no_chunks_then_left_to_the_parser_at_once(body: bytes):
    """What will be refused needs no patience."""
    assert whole_after(CHUNKED + body) == len(CHUNKED + body)
    with pytest.raises((ParseException, NoMoreData)):
        read_by_gunicorn(CHUNKED + body)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.integers(1, 50), st.binary(max_size=30))
def test_frame_when_any_chunks_come_in_any_pieces_then_as_gunicorn_reads_them(
    chunks: list[bytes], step: int, following: bytes
):
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    data = CHUNKED + body
    frame, arrived = RequestFrame(), bytearray()
    for start in range(0, len(data), step):
        assert not frame.is_whole
        arrived += data[start : start + step]
        frame.look(arrived)
    assert frame.is_whole
    assert read_by_gunicorn(data + following) == len(data) == frame.end


@given(st.binary(max_size=400), st.integers(1, 60))
def test_frame_when_anything_comes_then_no_error_and_never_less_after_more(data: bytes, step: int):
    frame, stream, arrived, was_whole = RequestFrame(), io.BytesIO(CHUNKED + data), bytearray(), False
    while piece := stream.read(step):
        arrived += piece
        is_whole = frame.look(arrived)
        assert is_whole or not was_whole
        was_whole = is_whole


@pytest.mark.parametrize(
    ("version", "field", "asks"),
    [
        (b"1.1", b"Expect: 100-continue", True),
        (b"1.1", b"expect:100-Continue", True),
        (b"1.0", b"Expect: 100-continue", False),
        (b"1.1", b"X-Expect: 100-continue", False),
    ],
)
def test_frame_when_a_client_waits_to_be_asked_then_known_with_the_head(version: bytes, field: bytes, asks: bool):
    """RFC 9110 §10.1.1: of an HTTP/1.0 client the expectation is ignored."""
    frame = RequestFrame()
    head = b"PUT / HTTP/%s\r\nHost: x\r\n%s\r\nContent-Length: 5\r\n\r\n" % (version, field)
    assert not frame.look(bytearray(head))
    assert frame.waits_for_continue is asks
