"""How gunicorn runs the API: `gunicorn -c config/gunicorn_conf.py wsgi:app`.

Threads (gthread) because a request waits on the database, not on the processor; processes because the rest is Python.
Not     the API's own settings (settings.py), TLS (the proxy in front)
"""

import gc
from pathlib import Path
from typing import Any

from config import drain
from config.connection import MAX_FIELD_BYTES
from config.metrics_master import MetricsMaster
from config.settings import Settings

_settings = Settings.from_env_or_exit()

# An IPv6 address stands in brackets, or its last group would be taken for the port.
bind = f"[{_settings.host}]:{_settings.port}" if ":" in _settings.host else f"{_settings.host}:{_settings.port}"
workers = _settings.web_concurrency
worker_class = "config.worker.ProblemWorker"  # gthread
threads = _settings.web_threads
# A worker opens its own database and key fetches; nothing may be shared by accident (K9).
preload_app = False

# `flask doctor` holds MAX_TOKEN_BYTES against it.
limit_request_field_size = MAX_FIELD_BYTES
limit_request_line = 8190
# No field of a client steers anything: no SCRIPT_NAME, no scheme. Apps use PUBLIC_URL, whatever a proxy says.
forwarded_allow_ips = ""
forwarder_headers = ""
secure_scheme_headers: dict[str, str] = {}

# The control socket has one path per user: two instances on one machine would collide.
control_socket_disable = True
# Heartbeats on a disk can block a worker for seconds; memory cannot.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - the kernel's shared memory, not a temporary file

# Files would pass by what a client has not taken yet (reception.py); the largest here is a script of the docs page.
sendfile = False

timeout = 30
# What is in flight has 30 s, after the drain.
graceful_timeout = 30 + int(_settings.drain_seconds)
keepalive = 65

# The app writes one structured line per request (app/web/request_log.py); gunicorn's access log would double it.
accesslog = None
errorlog = "-"
loglevel = _settings.log_level
logger_class = "config.log.GunicornLog"


def when_ready(server: Any) -> None:
    """Begin with the metrics: after our own port is bound, so that no worker of a master that was killed is left."""
    # Kept by gunicorn's master: a reload reads this file anew, and would know neither the folder nor the port.
    server.metrics = MetricsMaster(worker_tmp_dir)
    server.metrics.begin(_settings.metrics_host, _settings.metrics_port, is_successor=server.master_pid != 0)


def pre_fork(server: Any, _worker: Any) -> None:
    """See that the folder in which the workers count is there: before any of them imports the library."""
    server.metrics.before_fork()


def post_fork(server: Any, _worker: Any) -> None:
    """Let the worker serve without metrics where they cannot be."""
    server.metrics.in_worker()


def post_worker_init(worker: Any) -> None:
    """Fetch the tenant's keys once the worker exists: a thread started before the fork would be dead here (K9)."""
    worker.wsgi.extensions["postern"].start()
    # What is loaded by now lives as long as the worker: the collector need not walk through it again and again.
    gc.collect()
    gc.freeze()


def on_reload(server: Any) -> None:
    """Say that the workers which are stopped next have successors: they need no drain."""
    drain.reload_begun()
    # A master of a version that had none: its workers have the port.
    is_successor = not hasattr(server, "metrics")
    if is_successor:
        server.metrics = MetricsMaster(worker_tmp_dir)
    server.metrics.begin(_settings.metrics_host, _settings.metrics_port, is_successor=is_successor)


def child_exit(server: Any, worker: Any) -> None:
    """Take a worker that is gone out of the metrics of this moment; what it counted stays counted."""
    server.metrics.worker_is_gone(worker.pid)


def on_exit(server: Any) -> None:
    """Remove what the workers shared."""
    metrics = getattr(server, "metrics", None)
    if metrics is not None:
        metrics.end()


def worker_exit(_server: Any, worker: Any) -> None:
    """Stop the key refreshers and close the database's connections."""
    app = getattr(worker, "wsgi", None)
    if app is not None:
        app.extensions["postern"].stop()
