"""Write findings for a terminal: one line each, wrapped with a hanging indent, harmless whatever they quote.

Takes   Findings, texts;  Screen: the width and whether colours are wanted
Gives   lines; words for durations and times
Raises  nothing
Not     what is found (doctor.py, explain_token.py), JSON for programs
Source  https://no-color.org; ECMA-48 §5: what a token says must not steer the terminal that shows it
"""

import shutil
import sys
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import click

from config.terminal import wants_no_colour

Outcome = Literal["pass", "FAIL", "skip", "warn", "ok", "fail"]

_NARROWEST, _WIDEST = 60, 120
_WITHOUT_TERMINAL = (100, 24)
_COLOURS = {"pass": "green", "ok": "green", "FAIL": "red", "fail": "red", "warn": "yellow", "skip": "bright_black"}
_MARK_CELLS = 4
_NAME_CELLS = 11
_INDENT = "  "
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; `advice` says what to do about it."""

    name: str
    outcome: Outcome
    text: str
    advice: str | None = None
    code: str | None = None
    """The code of the token contract that a failure of this check would be answered with."""


@dataclass(frozen=True, slots=True)
class Screen:
    """Where lines go."""

    columns: int
    colours: bool

    @classmethod
    def of_process(cls) -> "Screen":
        """Look at standard output: colours on a terminal alone, and not where NO_COLOR or TERM=dumb asks for none."""
        columns = shutil.get_terminal_size(_WITHOUT_TERMINAL).columns
        colours = sys.stdout.isatty() and not wants_no_colour()
        return cls(min(max(columns, _NARROWEST), _WIDEST), colours=colours)

    def heading(self, text: str) -> str:
        """Return a line above others."""
        return self._styled(printable(text), bold=True)

    def headline(self, word: str, text: str, *, good: bool | None) -> Iterator[str]:
        """Write the one sentence that matters: a word, coloured, and what it means."""
        colour = "yellow" if good is None else ("green" if good else "red")
        for number, line in enumerate(wrapped(text, self.columns, len(word) + 2)):
            yield f"{self._styled(word, fg=colour, bold=True)}  {line}" if number == 0 else line

    def paragraph(self, label: str, text: str, indent: int) -> Iterator[str]:
        """Write a label and its text, the text `indent` cells from the left."""
        for number, line in enumerate(wrapped(text, self.columns, indent)):
            yield f"{label:<{indent}}{line}" if number == 0 else line

    def finding(self, finding: Finding) -> Iterator[str]:
        """Write one check, and below it, with an arrow, what to do."""
        name_cells = max(_NAME_CELLS, len(finding.name))
        indent = len(_INDENT) + _MARK_CELLS + 2 + name_cells + 1
        mark = self._styled(f"{finding.outcome:<{_MARK_CELLS}}", fg=_COLOURS[finding.outcome])
        for number, line in enumerate(wrapped(finding.text, self.columns, indent)):
            yield f"{_INDENT}{mark}  {finding.name:<{name_cells}} {line}" if number == 0 else line
        if finding.advice is not None:
            for number, line in enumerate(wrapped(finding.advice, self.columns, indent + 2)):
                yield f"{' ' * indent}> {line}" if number == 0 else line

    def _styled(self, text: str, *, fg: str | None = None, bold: bool = False) -> str:
        return click.style(text, fg=fg, bold=bold or None) if self.colours else text


def printable(text: str) -> str:
    r"""Return the text with every character that a terminal could obey, or hide, as its number: \x1b, \u202e."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _escaped(character) for character in text)


def wrapped(text: str, columns: int, indent: int) -> list[str]:
    """Break a text into lines that end before `columns`; all but the first begin with the indent."""
    room = max(columns - indent, 20)
    lines, line, width = [], "", 0
    for word in _pieces(printable(text), room):
        word_width = cells(word)
        if line and width + 1 + word_width > room:
            lines.append(line)
            line, width = word, word_width
        else:
            line, width = (f"{line} {word}", width + 1 + word_width) if line else (word, word_width)
    lines.append(line)
    return [lines[0], *(" " * indent + later for later in lines[1:])]


def cells(text: str) -> int:
    """Count the columns that a text takes on a terminal."""
    return len(text) if text.isascii() else sum(_cells_of(character) for character in text)


def duration(seconds: float) -> str:
    """Say a length of time in the largest unit that says enough."""
    for unit_seconds, name in ((_DAY, "days"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= 2 * unit_seconds:
            return f"{int(seconds // unit_seconds)} {name}"
    return f"{seconds:.0f} s"


def moment(seconds: float) -> str:
    """Say a time since the epoch as a date."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return "a time that no calendar has"


def distance(seconds: float, now: float) -> str:
    """Say how far a moment is from now."""
    return f"in {duration(seconds - now)}" if seconds >= now else f"{duration(now - seconds)} ago"


def _pieces(text: str, room: int) -> Iterator[str]:
    """Cut the text at its spaces, and a word that is wider than a line wherever the line ends."""
    for word in text.split(" "):
        if word.isascii() and len(word) <= room:
            yield word
            continue
        piece, width = "", 0
        for character in word:
            if width + _cells_of(character) > room:
                yield piece
                piece, width = "", 0
            piece += character
            width += _cells_of(character)
        yield piece


def _cells_of(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def _escaped(character: str) -> str:
    number = ord(character)
    return f"\\x{number:02x}" if number <= 0xFF else f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"  # noqa: PLR2004 - the widths of the escapes
