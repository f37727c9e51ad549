"""Kinto, the peer that syncs too: its own environment, its server, its records.

Takes   the URL of an empty PostgreSQL database
Gives   serving(): a Server with the same data as the API's;  requests for each thing that is compared
Raises  ServerFailed, CalledProcessError, WrongAnswer
Not     a judgement: it is the server that has come closest to ours (storage by user, ETags, deltas with tombstones)
Source  https://docs.kinto-storage.org (settings, "Run in production"), requirements-bench.in

In its favour where there was a choice: authentication that looks nothing up (`basicauth`, a keyed hash; the accounts
plugin compares a password's hash, OpenID asks the provider), no plugin, no log line, buckets by name (the `default`
bucket makes a second request of each), its own pool as large as ours, records of one collection under one bucket of the
user's own, and the same frozen garbage collector.
"""

import base64
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.load import Load, message, send
from benchmarks.servers import ROOT, Server, free_port, running

_REQUIREMENTS = ROOT / "requirements-bench.txt"
_BATCH = 100
_THREADS = 8
_INI = """[app:main]
use = egg:kinto
kinto.storage_backend = kinto.core.storage.postgresql
kinto.storage_url = {url}
kinto.storage_pool_size = 10
kinto.permission_backend = kinto.core.permission.postgresql
kinto.permission_url = {url}
kinto.cache_backend = kinto.core.cache.memory
kinto.userid_hmac_secret = b4c96a8692291d88fe5a97dd91846eb4
kinto.bucket_create_principals = system.Authenticated
kinto.batch_max_requests = {batch}
multiauth.policies = basicauth

[loggers]
keys = root
[handlers]
keys =
[formatters]
keys =
[logger_root]
level = WARNING
handlers =
"""
_GUNICORN = """import gc
worker_class = "gthread"
workers = 1
threads = {threads}
keepalive = 65
timeout = 30
control_socket_disable = True
worker_tmp_dir = "/dev/shm"


def post_worker_init(worker):
    gc.collect()
    gc.freeze()
"""
# Bookkeeping of the framework, not a warning about anything that is measured.
_QUIET = {"PYTHONWARNINGS": "ignore"}


def installed(directory: Path) -> Path:
    """Make the environment where it is not there yet, or not as requirements-bench.txt has it; gives its programs."""
    programs, mark = directory / "kinto" / "bin", directory / "kinto" / ".installed"
    wanted = _REQUIREMENTS.read_text()
    if not mark.exists() or mark.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(programs.parent)], check=True)  # noqa: S603
        pip = [str(programs / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, "--require-hashes", "-r", str(_REQUIREMENTS)], check=True, stdout=sys.stderr)  # noqa: S603
        mark.write_text(wanted)
    return programs


@contextmanager
def serving(directory: Path, url: str) -> Iterator[Server]:
    """Start Kinto on an empty database."""
    programs = installed(directory)
    ini, configuration = directory / "kinto.ini", directory / "kinto_gunicorn.py"
    ini.write_text(_INI.format(url=url.replace("%", "%%"), batch=_BATCH))
    configuration.write_text(_GUNICORN.format(threads=_THREADS))
    subprocess.run(  # noqa: S603 - fixed arguments, no shell
        [str(programs / "kinto"), "migrate", "--ini", str(ini)], check=True, env=_QUIET, capture_output=True
    )
    port = free_port()
    command = [str(programs / "gunicorn"), "-c", str(configuration), "-b", f"127.0.0.1:{port}", "--paste", str(ini)]
    with running(command, port, _QUIET) as server:
        yield server


def fill(server: Server, user: str, contents: Sequence[str]) -> None:
    """Store the records of one user by Kinto's own batch."""
    fields = authorization(user)
    bucket, collection = f"/v1/buckets/{user}", f"{_collection(user)}"
    for path, expected in ((bucket, 201), (collection, 201)):
        send(Load(server.port, (message("PUT", path, fields, b"{}"),), expected))
    for start in range(0, len(contents), _BATCH):
        wanted = [
            {"method": "PUT", "path": record(user, start + index), "body": {"data": json.loads(text)}}
            for index, text in enumerate(contents[start : start + _BATCH])
        ]
        sent = send(
            Load(server.port, (message("POST", "/v1/batch", fields, json.dumps({"requests": wanted}).encode()),), 200)
        )
        refused = [answer for answer in json.loads(sent.body)["responses"] if answer["status"] != 201]  # noqa: PLR2004
        if refused:
            raise ValueError(f"Kinto refused a record: {refused[0]}")


def authorization(user: str) -> dict[str, str]:
    """The fields by which a user is known."""
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:secret'.encode()).decode()}"}


def records(user: str) -> str:
    """The path of a user's records."""
    return f"{_collection(user)}/records"


def record(user: str, number: int) -> str:
    """The path of one."""
    return f"{records(user)}/r{number:07d}"


def version(server: Server, user: str) -> str:
    """The version that a device holds which has read everything: Kinto's ETag, a time in milliseconds, in quotes."""
    head = send(Load(server.port, (message("GET", f"{records(user)}?_limit=1", authorization(user)),), 200)).head
    for line in head.decode("latin-1").split("\r\n"):
        name, _, value = line.partition(":")
        if name.lower() == "etag":
            return value.strip()
    raise ValueError("Kinto gave no ETag")


def _collection(user: str) -> str:
    return f"/v1/buckets/{user}/collections/notes"
