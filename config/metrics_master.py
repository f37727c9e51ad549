"""What gunicorn's master does for the metrics, so that they never stop the API: without them it serves on.

Takes   METRICS_HOST and METRICS_PORT; where the folder is made
Gives   MetricsMaster: begin(…) at the start and at a reload, before_fork(), in_worker(), worker_is_gone(pid), end()
Raises  nothing: what fails is one line of the log, and from then on the workers start without metrics
Not     the folder (metrics_folder.py), its files (metrics_files.py), the server in each worker (app/web/metrics)
Source  socket(7) SO_REUSEPORT; gunicorn "Server Hooks"
"""

import logging
import os
import socket
import time
from contextlib import suppress
from pathlib import Path

from config.metrics_files import put_together
from config.metrics_folder import MetricsFolder, sweep

_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_log = logging.getLogger("postern.metrics")


class MetricsMaster:
    """One master's part in the metrics. It outlives reloads, which read gunicorn_conf.py anew."""

    def __init__(self, parent: str | None) -> None:
        self._folder = MetricsFolder(parent, os.environ.get(_VARIABLE) or None)
        self._address: tuple[str, int] | None = None
        self._port_is_ours = False
        self._folder_failed = False
        self._unburied: set[int] = set()

    def begin(self, host: str, port: int | None, *, is_successor: bool = False) -> None:
        """Look whether the port is free; at a reload, and after SIGUSR2 (`is_successor`), our own workers have it."""
        before, self._address = self._address, None if port is None else (host, port)
        if self._address is None or is_successor or (self._port_is_ours and before == self._address):
            self._port_is_ours = self._address is not None
            return
        self._port_is_ours = _is_free(*self._address)
        if before is None and self._folder.is_ours:
            with suppress(OSError):
                for folder in sweep(self._folder.parent, time.time()):
                    _log.info("removed %s, which a master that was killed had left behind", folder)

    def before_fork(self) -> None:
        """Make the folder if it is not there (any more)."""
        if not self._port_is_ours:
            return
        try:
            is_anew = self._folder.make()
        except OSError as fault:
            if not self._folder_failed:
                folder = self._folder.path or self._folder.parent
                _log.error(
                    "the metrics cannot be served: the folder %s in which the workers count cannot be used (%s). "
                    "Make it writable for this user, with 1 MB of room for each worker, or let %s name another; "
                    "then reload. The API serves on without metrics",
                    folder, fault.strerror or fault, _VARIABLE,
                )  # fmt: skip
            self._folder_failed = True
            return
        if is_anew:
            _log.error(
                "the folder %s in which the workers count was gone and is made anew: what they counted is lost, "
                "and those that run count where nobody reads. Reload, and let nothing clean that place",
                self._folder.path,
            )
        elif self._folder_failed:
            _log.warning("the folder %s can be used again: workers that start now count", self._folder.path)
        self._folder_failed = False
        if self._unburied and self._folder.path is not None:
            # Before a new worker gets the number of a dead one, and with it the file.
            self._bury(self._folder.path)
        # The library looks for it when it is imported, in the worker.
        os.environ[_VARIABLE] = str(self._folder.path)

    def in_worker(self) -> None:
        """Take the metrics out of the settings of this worker if they cannot be."""
        if not self._port_is_ours or self._folder_failed:
            # Each worker would count for itself alone, and a scrape would be told the numbers of one of them.
            for name in ("METRICS_PORT", "METRICS_PORT_FILE", _VARIABLE):
                os.environ.pop(name, None)

    def worker_is_gone(self, pid: int) -> None:
        """Take a dead worker out of the metrics of this moment; what it counted stays counted."""
        folder = self._folder.path
        if folder is None or not folder.is_dir():
            return
        try:
            for gauge in folder.glob(f"gauge_live*_{pid}.db"):
                gauge.unlink(missing_ok=True)
        except OSError as fault:
            _log.warning("what the worker %d said of this moment stays in the metrics: %s", pid, fault)
        self._unburied.add(pid)
        self._bury(folder)

    def end(self) -> None:
        """Remove what the workers shared."""
        self._folder.remove()

    def _bury(self, folder: Path) -> None:
        try:
            if put_together(folder, self._unburied):
                self._unburied.clear()
        except Exception as fault:  # noqa: BLE001 - it would end the master, and with it the API
            _log.warning("the counts of dead workers could not be put together: %s", fault)


def _is_free(host: str, port: int) -> bool:
    """Bind once, without SO_REUSEPORT: with it two instances would answer by turns, each with its own numbers."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            # What our last run has left in TIME_WAIT is no listener.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as fault:
        _log.error(
            "the metrics cannot be served on METRICS_HOST %s, METRICS_PORT %d: %s. "
            "Choose another METRICS_PORT if another instance or program has it. The API serves on without metrics",
            host, port, fault.strerror or fault,
        )  # fmt: skip
        return False
    return True
