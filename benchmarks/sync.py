"""`python -m benchmarks sync`: everything about the sync, on one PostgreSQL server of its own.

Takes   rounds, requests of each kind in each round
Gives   Sync
Raises  WrongAnswer, ServerFailed; what installing Kinto raises
Not     the tables (sync_report.py)
"""

import subprocess
from collections.abc import Callable
from pathlib import Path

import psycopg

from benchmarks import kinto, sync_peers, sync_size
from benchmarks.credentials import SYNC_SCOPES, credentials
from benchmarks.sync_databases import postgresql
from benchmarks.sync_report import Sync
from benchmarks.sync_run import Run


def measure(directory: Path, rounds: int, requests: int, tell: Callable[[str], None]) -> Sync:
    """Compare the sizes, then the peers."""
    found = credentials(directory, sync_peers.USERS, SYNC_SCOPES, "sync-tokens.json")
    tell("sync: installing Kinto, unless it is there")
    programs = kinto.installed(directory)
    with postgresql() as cluster:
        run = Run(directory, found, cluster, rounds, requests, tell)
        return Sync(
            sizes=sync_size.measure(run),
            beside=sync_peers.measure(run),
            rounds=rounds,
            requests=requests,
            server=_server_version(cluster.make("version")),
            peer=_peer_version(programs),
        )


def _server_version(url: str) -> str:
    with psycopg.connect(url) as connection:
        return f"{connection.info.server_version // 10_000}.{connection.info.server_version % 10_000}"


def _peer_version(programs: Path) -> str:
    ask = "from importlib.metadata import version; print(version('kinto'))"
    told = subprocess.run(  # noqa: S603 - fixed arguments, no shell
        [str(programs / "python"), "-c", ask], check=True, capture_output=True, text=True
    )
    return told.stdout.strip()
