"""Run `flask --app wsgi …` as a real process, with the settings that a test gives and no others.

Takes   words of the command, what stands on standard input, the environment's settings
Gives   Ended: exit status, standard output, standard error
Raises  subprocess.TimeoutExpired where it hangs
Not     the command itself in this process (click's runner does that)
"""

import os
import pty
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_SECONDS = 60
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "COVERAGE_PROCESS_START")


@dataclass(frozen=True)
class Ended:
    """A process that has ended."""

    status: int
    out: str
    err: str


def flask(*words: str, text: str | bytes = "", **settings: str) -> Ended:
    """Run a command; `text` stands on its standard input."""
    content = text.encode() if isinstance(text, str) else text
    done = subprocess.run(
        _command(words),
        input=content,
        cwd=ROOT,
        env=_environment(settings),
        capture_output=True,
        timeout=_SECONDS,
        check=False,
    )
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


def flask_at_terminal(*words: str, typed: bytes, columns: int = 100, **settings: str) -> Ended:
    """Run a command with a terminal in front of it, type, and return all that the terminal showed."""
    leader, follower = pty.openpty()
    environment = _environment({"COLUMNS": str(columns), "TERM": "xterm", **settings})
    process = subprocess.Popen(
        _command(words), stdin=follower, stdout=follower, stderr=follower, cwd=ROOT, env=environment, close_fds=True
    )
    os.close(follower)
    shown = b""
    has_typed = False
    killer = threading.Timer(_SECONDS, process.kill)
    killer.start()
    try:
        while True:
            try:
                chunk = os.read(leader, 65_536)
            except OSError:  # what Linux says when the other end of a terminal is closed
                break
            if not chunk:
                break
            shown += chunk
            if not has_typed and b"not shown" in shown:
                has_typed = True
                # In pieces, as a paste arrives; the terminal takes no more at once than its buffer holds.
                for start in range(0, len(typed), 1024):
                    os.write(leader, typed[start : start + 1024])
        return Ended(process.wait(_SECONDS), shown.decode().replace("\r\n", "\n"), "")
    finally:
        killer.cancel()
        os.close(leader)


def _command(words: tuple[str, ...]) -> list[str]:
    return [sys.executable, "-m", "flask", "--app", "wsgi", *words]


def _environment(settings: dict[str, str]) -> dict[str, str]:
    return {name: os.environ[name] for name in _INHERITED if name in os.environ} | settings
