"""Keep secrets in files that only their owner can read.

Takes   a path and its text
Gives   the file, mode 0600, replaced in one step: a crash leaves the old one or the new one, never half
Raises  OSError
Not     encryption: a development tenant's keys open a development API
Source  D10
"""

import os
import secrets
from pathlib import Path


def make_private_directory(path: Path) -> None:
    """Make a directory that only its owner can enter."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)


def write(path: Path, text: str) -> None:
    """Write the file with mode 0600 from its first byte on."""
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)


def read(path: Path) -> str | None:
    """Return the text, or None where there is no file; a file that others could read is closed to them first."""
    if not path.exists():
        return None
    path.chmod(0o600)
    return path.read_text(encoding="utf-8")
