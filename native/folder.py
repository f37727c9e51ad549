"""A folder of JSON files, DIR/<collection>/<id>.json, and what is remembered of it in DIR/.postern/.

Takes   the folder;  keys: "<collection>/<id>"
Gives   Folder: scan(), read(…), write(…), remove(…), put_aside(…);  State, with load(…) and save(…)
Raises  OSError; NativeError where what is remembered cannot be read
Not     when to do which (sync.py); file systems to which `A` and `a` are one name
Source  N6; user-data.md §5 (names)

Every file is written beside and renamed: whoever reads, and whatever is cut short, finds the old one or the new one.
"""

import json
import os
import re
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn

from native.errors import NativeError

_KEY = re.compile(r"[a-z][a-z0-9_-]{0,31}/[A-Za-z0-9_-]{1,64}")
_ASIDE = re.compile(r"[A-Za-z0-9_-]{1,64}\.conflict-[0-9a-f]+(-[0-9]+)?\.json")


@dataclass(frozen=True)
class File:
    """A file as it is now; with a fault, it is no JSON and only its bytes count."""

    digest: str
    data: Any = None
    fault: str = ""


@dataclass
class State:
    """What was in step when it was last saved: the etag and the digest of each file, and where in the changes we are.

    `unseen`: while everything is read anew, the files that have not come yet.
    """

    owner: str
    device: str
    cursor: str | None = None
    files: dict[str, tuple[str, str]] = field(default_factory=dict)
    unseen: dict[str, bool] | None = None


def digest_of(data: Any) -> str:
    """The same for the same JSON value, however it is laid out; ValueError for what JSON has no word for."""
    return sha256(json.dumps(data, sort_keys=True, allow_nan=False).encode()).hexdigest()


def is_key(name: str) -> bool:
    """Whether a record can be called so, and a file be written under it."""
    return _KEY.fullmatch(name) is not None


class Folder:
    """The files; nothing outside the folder is read or written."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.own = root / ".postern"

    def scan(self, odd: Callable[[str], object]) -> dict[str, File]:
        """All files by key; `odd` hears of each that has no place here. What begins with a dot is none of ours."""
        found: dict[str, File] = {}
        for path in sorted(self.root.glob("[!.]*")) + sorted(self.root.glob("[!.]*/[!.]*")):
            name = path.relative_to(self.root).as_posix()
            key = name.removesuffix(".json")
            if (path.is_dir() and path.parent == self.root) or _ASIDE.fullmatch(path.name):
                continue
            file = self.read(key) if key != name and is_key(key) and path.is_file() else None
            if file is None:
                odd(name)
            else:
                found[key] = file
        return found

    def read(self, key: str) -> File | None:
        """The file as it is now."""
        try:
            content = self._path(key).read_bytes()
        except FileNotFoundError:
            return None
        try:
            data = json.loads(content, parse_constant=_refuse)
            return File(digest_of(data), data)
        except (ValueError, RecursionError) as error:
            return File(f"bytes {sha256(content).hexdigest()}", fault=str(error))

    def write(self, key: str, data: Any) -> None:
        """Put this in the file's place."""
        path = self._path(key)
        path.parent.mkdir(exist_ok=True)
        self._replace(path, json.dumps(data, indent=2, ensure_ascii=False).encode() + b"\n")

    def remove(self, key: str) -> None:
        """Remove the file; the collection's folder stays."""
        self._path(key).unlink(missing_ok=True)

    def put_aside(self, key: str, device: str) -> str:
        """Keep the file beside its name, under one that no record can have; gives that name."""
        path, number = self._path(key), 1
        content = path.read_bytes()
        aside = path.with_name(f"{path.stem}.conflict-{device}.json")
        while aside.exists() and aside.read_bytes() != content:
            number += 1
            aside = path.with_name(f"{path.stem}.conflict-{device}-{number}.json")
        self._replace(aside, content)
        return aside.relative_to(self.root).as_posix()

    def load(self, owner: str) -> State:
        """What is remembered; at first nothing, with a new name for this device."""
        path = self.own / "state.json"
        try:
            members = json.loads(path.read_text(encoding="utf-8"))
            members["files"] = {key: (etag, digest) for key, (etag, digest) in members["files"].items()}
            state = State(**members)
        except FileNotFoundError:
            return State(owner, secrets.token_hex(4))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            hint = "Remove that file: the next sync then compares everything, and keeps what differs."
            raise NativeError(f"{path} cannot be read.", hint) from error
        if state.owner != owner:
            raise NativeError("This folder is in step with another account or API.", "Choose another folder.")
        return state

    def save(self, state: State) -> None:
        """Remember this."""
        self._replace(self.own / "state.json", json.dumps(asdict(state)).encode())

    def _path(self, key: str) -> Path:
        return self.root / f"{key}.json"

    def _replace(self, path: Path, content: bytes) -> None:
        beside = self.own / f"{secrets.token_hex(8)}.new"
        try:
            with beside.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
