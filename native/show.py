"""Print for people: tables in colour at a terminal, plain text in a pipe or under NO_COLOR.

Takes   what the API answered, or an error
Gives   lines on stdout (answers) or stderr (all else)
Not     tokens: `token` writes its one line by itself; deciding what to print (__main__.py)
Source  https://no-color.org; RFC 6819 §4.1 (what others wrote may not drive the terminal)
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.json import JSON
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from native.errors import NativeError

_PIPE_WIDTH = 1000  # nothing is folded where a program reads


def printable(text: str) -> str:
    """The text without control characters: an escape sequence in a name could rewrite the screen."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def say(line: str, hint: str = "") -> None:
    """A line for the person, on stderr, and a command to paste below it."""
    console = _console(stderr=True)
    console.print(Text(printable(line)), soft_wrap=True)
    if hint:
        console.print(Text(f"  {printable(hint)}", style="bold"), soft_wrap=True)


def fail(error: NativeError) -> None:
    """What went wrong and what to do, on stderr."""
    console = _console(stderr=True)
    console.print(Text.assemble(("✗ ", "bold red"), printable(error.message)), soft_wrap=True)
    if error.hint:
        console.print(Text(f"  {printable(error.hint)}", style="bold"), soft_wrap=True)


def table(members: Mapping[str, Any], title: str) -> None:
    """An object as a table of names and values."""
    console = _console()
    grid = Table(title=title if console.is_terminal else None, show_header=False, box=None, title_justify="left")
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in members.items():
        grid.add_row(printable(str(name)), _cell(value))
    console.print(grid)


def json_object(content: bytes) -> dict[str, Any] | None:
    """The object in a body, if that is what it holds."""
    try:
        members = json.loads(content)
    except ValueError:
        return None
    return members if isinstance(members, dict) else None


def body(content: bytes, *, raw: bool) -> None:
    """A body as it came where a program reads it, laid out and coloured at a terminal."""
    text = content.decode("utf-8", "replace")
    console = _console()
    if raw or not console.is_terminal:
        sys.stdout.write(text if not text or text.endswith("\n") else f"{text}\n")
        return
    try:
        console.print(JSON(text))
    except ValueError:
        console.print(Text("\n".join(map(printable, text.splitlines()))), soft_wrap=True)


@contextmanager
def progress() -> Iterator[Callable[[str, int], None]]:
    """A bar on stderr while a long work goes on, of which nobody knows the end; nothing where no terminal is."""
    console = _console(stderr=True)
    with Progress(
        TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(),
        console=console, transient=True, disable=not console.is_terminal,
    ) as bar:  # fmt: skip
        task = bar.add_task("", total=None)
        yield lambda what, count: bar.update(task, description=f"{count} {what}")


def _cell(value: Any) -> Text:
    if value is None:
        return Text("-", style="dim")
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if isinstance(value, str):
        return Text(printable(value))
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return Text(printable(", ".join(value)) or "-")
    return Text(printable(json.dumps(value, ensure_ascii=False)))


def _console(*, stderr: bool = False) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, highlight=False, width=None if stream.isatty() else _PIPE_WIDTH)
