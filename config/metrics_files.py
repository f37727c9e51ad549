"""The files that workers count in: room taken before it is written to, and those of the dead put together in one.

Takes   the folder that the workers of one gunicorn share
Gives   reserve(file, size);  put_together(folder, pids), in the master;  reading(folder), around a scrape
Raises  OSError: no room, no folder
Not     the folder itself (metrics_folder.py), what is counted (app/web/metrics)
Source  prometheus_client "Multiprocess Mode"; posix_fallocate(3), flock(2)
"""

import errno
import fcntl
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

# Of these a dead worker's stay, for what it counted stays counted; a gauge says how things are, and goes with it.
_KINDS = ("counter", "histogram")
_LOCK = "lock"
# As the library begins a file; and what an entry takes beside its key: a length, what fills up to eight, two numbers.
_FIRST_BYTES, _ENTRY_BYTES = 65536, 28
# What a file system says that does not know how.
_UNABLE = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})


def reserve(file: int, size: int) -> None:
    """Take the room now: writing to a mapped page for which there is none ends the process, by SIGBUS."""
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(file, 0, size)
    except OSError as fault:
        if fault.errno not in _UNABLE:
            raise


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Keep the files as they are meanwhile: read half-way, the dead would count twice, or not at all."""
    with (folder / _LOCK).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield


def put_together(folder: Path, pids: Collection[int]) -> bool:
    """Add what dead workers counted to the files of the dead; False if a scrape reads them just now: later, then.

    Without it each reload would leave two files for each worker, and each scrape would read them all.
    """
    with (folder / _LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        for kind in _KINDS:
            _add([folder / f"{kind}_{pid}.db" for pid in pids], folder / f"{kind}_dead.db")
    return True


def _add(dead: list[Path], together: Path) -> None:
    # Here, because only a master whose workers count has it.
    from prometheus_client.mmap_dict import MmapedDict  # noqa: PLC0415

    sources = [file for file in (together, *dead) if file.exists()]
    if not sources or sources == [together]:
        return
    sums: dict[str, float] = {}
    for file in sources:
        for key, value in _values(file):
            sums[key] = sums.get(key, 0.0) + value
    new = together.with_suffix(".new")
    new.unlink(missing_ok=True)
    with new.open("wb") as opened:
        reserve(opened.fileno(), _FIRST_BYTES + sum(_ENTRY_BYTES + len(key.encode()) for key in sums))
    written = MmapedDict(str(new))  # type: ignore[no-untyped-call]
    for key, value in sums.items():
        written.write_value(key, value, 0.0)  # type: ignore[no-untyped-call]
    written.close()  # type: ignore[no-untyped-call]
    new.replace(together)
    for file in dead:
        file.unlink(missing_ok=True)


def _values(file: Path) -> list[tuple[str, float]]:
    """What one file holds; nothing, where its process was killed before it had begun to write."""
    from prometheus_client.mmap_dict import MmapedDict  # noqa: PLC0415

    try:
        return [(key, value) for key, value, *_ in MmapedDict.read_all_values_from_file(str(file))]  # type: ignore[no-untyped-call]
    except Exception:  # noqa: BLE001 - struct's, ours, a decoder's: whatever it is, it would spoil every scrape
        return []
