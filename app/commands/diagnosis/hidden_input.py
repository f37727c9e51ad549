"""Read a token from standard input: all of a pipe, or what is pasted at a terminal, without showing it.

Takes   standard input
Gives   text, at most MAX_BYTES of it
Raises  NothingToJudge for input that is too large or no text; KeyboardInterrupt for Ctrl-C
Not     what the text is (pasted.py)
Source  POSIX.1-2017 §11.1.6: a terminal in canonical mode cuts a line, at 4095 bytes on Linux
"""

import json
import os
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager

import click

from app.commands.diagnosis.pasted import NothingToJudge

MAX_BYTES = 262_144
_CHUNK_BYTES = 4096
_PROMPT = "Paste the token or the token response, then press Enter (it is not shown):"
_END_OF_INPUT = b"\x04"


def read_text() -> str:
    """Return what stands on standard input; at a terminal, what is pasted up to the end of the line."""
    stream = sys.stdin.buffer
    content = _at_prompt(stream.fileno()) if sys.stdin.isatty() else stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise NothingToJudge(f"more than {MAX_BYTES} bytes: that is no token")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise NothingToJudge("this is no text: paste the token, or the tenant's token response") from None


def _at_prompt(descriptor: int) -> bytes:
    content = b""
    with _silent(descriptor):
        # Only now: what is pasted before the echo is off would be shown, and cut.
        click.echo(_PROMPT, err=True)
        while len(content) <= MAX_BYTES:
            chunk = os.read(descriptor, _CHUNK_BYTES)
            content += chunk
            if not chunk or _END_OF_INPUT in chunk or (chunk[-1:] in b"\r\n" and _is_whole(content)):
                break
    return content.replace(_END_OF_INPUT, b"")


@contextmanager
def _silent(descriptor: int) -> Iterator[None]:
    """Turn the echo off, and the editing of lines too, which would cut a long token; Ctrl-C still works."""
    before = termios.tcgetattr(descriptor)
    silent = termios.tcgetattr(descriptor)
    silent[3] &= ~(termios.ECHO | termios.ICANON)
    # NOTE TCSADRAIN, not TCSAFLUSH: what was pasted before the prompt appeared is not thrown away.
    termios.tcsetattr(descriptor, termios.TCSADRAIN, silent)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _is_whole(content: bytes) -> bool:
    """Tell whether the paste is over: a JSON document has line ends of its own."""
    text = content.strip()
    if not text.startswith(b"{"):
        return bool(text)
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return content.endswith((b"\n\n", b"\r\r", b"\r\n\r\n"))
    return True
