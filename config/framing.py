"""Tell when all of a request is there, so that no thread has to wait for a client.

Takes   the bytes of one connection, as they come
Gives   RequestFrame: whether the head is there, whether all of it is, where it ends
Raises  nothing
Not     parsing: gunicorn's parser reads the same bytes afterwards, and what it makes of them counts. Where the two
        disagree a thread waits for a moment, and nothing else follows
Source  RFC 9112 §6, §7.1; RFC 9110 §10.1.1
"""

import re
from typing import Final

_END_OF_HEAD: Final = b"\r\n\r\n"
_LENGTH: Final = re.compile(rb"\r\ncontent-length[ \t]*:[ \t]*(\d{1,18})[ \t]*\r\n")
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding[ \t]*:[^\r\n]*chunked")
_CONTINUE: Final = re.compile(rb"\r\nexpect[ \t]*:[ \t]*100-continue")
_SIZE: Final = re.compile(rb"[ \t]*([0-9a-fA-F]{1,15})[ \t]*(?:;.*)?", re.DOTALL)
# A chunk's first line is a few digits, and what extends them; of a longer one nobody waits for the end.
MAX_CHUNK_LINE: Final = 4096


class RequestFrame:
    """Where one request ends; the next one has a frame of its own. Each byte is looked at once, however it comes."""

    __slots__ = (
        "_is_chunked", "_is_in_trailers", "_searched", "body_bytes", "end", "has_head", "is_whole",
        "waits_for_continue",
    )  # fmt: skip

    def __init__(self) -> None:
        self.has_head = False
        self.is_whole = False
        self.end = 0
        """As far as is known: of the head, of the chunks so far, of all of it."""
        self.body_bytes = 0
        """What Content-Length says."""
        self.waits_for_continue = False
        """The client wants to be asked for the body."""
        self._is_chunked = self._is_in_trailers = False
        self._searched = 0

    def look(self, data: bytearray) -> bool:
        """Look at everything that has come since the request began; True if the request is whole."""
        if not self.has_head:
            self._look_for_head(data)
        if self.has_head and not self.is_whole:
            if self._is_chunked:
                self._follow_chunks(data)
            else:
                self.is_whole = len(data) >= self.end
        return self.is_whole

    def _look_for_head(self, data: bytearray) -> None:
        if not self._find_empty_line(data):
            return
        self.has_head = True
        # Most requests have no body, and a look for a word is cheaper than a pattern.
        head = bytes(data[: self.end - 2]).lower()
        if b"\r\ntransfer-encoding" in head and _CHUNKED.search(head):
            self._is_chunked = True
        elif b"\r\ncontent-length" in head and (length := _LENGTH.search(head)):
            self.body_bytes = int(length[1])
            self.end += self.body_bytes
        has_body = self._is_chunked or self.body_bytes > 0
        self.waits_for_continue = has_body and b" http/1.1\r\n" in head and _CONTINUE.search(head) is not None

    def _follow_chunks(self, data: bytearray) -> None:
        """Go from chunk to chunk; `end` is where the next one begins."""
        while not self._is_in_trailers and len(data) > self.end:
            line_end = data.find(b"\r\n", self.end, self.end + MAX_CHUNK_LINE)
            if line_end < 0:
                # Half a line, or none that there could be.
                self.is_whole = len(data) >= self.end + MAX_CHUNK_LINE
                return
            size = _SIZE.fullmatch(data, self.end, line_end)
            if size is None:
                self.is_whole = True
                return
            length = int(size[1], 16)
            self._is_in_trailers = length == 0
            self._searched = line_end
            self.end = line_end + 2 + length + 2
        if self._is_in_trailers:
            self.is_whole = self._find_empty_line(data)

    def _find_empty_line(self, data: bytearray) -> bool:
        found = data.find(_END_OF_HEAD, self._searched)
        if found < 0:
            self._searched = max(self._searched, len(data) - len(_END_OF_HEAD) + 1)
            return False
        self.end = found + len(_END_OF_HEAD)
        return True
