"""`python -m prove.soak [--minutes N]`: one worker under mixed traffic, and how much memory it holds.

Takes   --minutes
Gives   the worker's resident memory, sampled, beside the requests so far; what the answers were
Raises  WorkerReplaced; status 1 if the second half of the time grew by more than 5 MB, or if anything was a 500
Not     speed (benchmarks/)
Source  docs/proof.md "Soak"

What is bounded is filled in the first half: the token cache is set to 2,000 entries, so that growth in the second half
is no cache that fills. 5 MB: the allocator's arenas of eight threads come and go by one to three, while 200 bytes lost
in each request would be more than 5 in five minutes.
"""

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import requests

from dev.processes import free_port
from prove.databases import POSTGRESQL, fresh
from tests.support.chaos_devices import Crew, Tally
from tests.support.chaos_traffic import bad, first_sight, hot, records, refused
from tests.support.gunicorn_server import GunicornServer

MAX_GROWTH_MB: Final = 5.0
_MINUTES: Final = 10.0
_WORKS: Final = (hot, first_sight, bad, refused, records, records)
_SERVER_ERROR: Final = 500
_PATIENCE_SECONDS: Final = 90


class WorkerReplaced(Exception):  # noqa: N818 - named by what happened
    """What was measured is gone."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The worker at one moment."""

    minute: float
    megabytes: float
    requests: int


def main() -> int:
    """Soak, print the samples, and judge."""
    parser = argparse.ArgumentParser(prog="python -m prove.soak", description="A worker's memory under mixed traffic.")
    parser.add_argument("--minutes", type=float, default=_MINUTES)
    minutes = parser.parse_args().minutes
    tally = Tally()
    with (
        tempfile.TemporaryDirectory(prefix="postern-soak-") as directory,
        fresh(POSTGRESQL, Path(directory)) as url,
    ):
        samples = _soaked(Path(directory), url, minutes, tally)
    growth = growth_mb(samples)
    answers = Counter(f"{one.status} {one.code}".strip() for one in tally.seen)
    print("answers: " + ", ".join(f"{name}: {count}" for name, count in sorted(answers.items())))
    print(f"second half: {growth:+.1f} MB (at most {MAX_GROWTH_MB:+.1f})")
    is_good = growth <= MAX_GROWTH_MB and not any(one.status == 0 or one.status >= _SERVER_ERROR for one in tally.seen)
    print("as it must be" if is_good else "NOT AS IT MUST BE")
    return 0 if is_good else 1


def growth_mb(samples: list[Sample]) -> float:
    """The last fifth of the second half over its first fifth, medians: one sample more or less decides nothing."""
    half = [one.megabytes for one in samples if one.minute >= samples[-1].minute / 2]
    fifth = max(len(half) // 5, 1)
    return statistics.median(half[-fifth:]) - statistics.median(half[:fifth])


def _soaked(directory: Path, database_url: str, minutes: float, tally: Tally) -> list[Sample]:
    metrics_port = free_port()
    settings = {
        "DATABASE_URL": database_url,
        "WEB_CONCURRENCY": "1",
        "TOKEN_CACHE_SIZE": "2000",
        "METRICS_PORT": str(metrics_port),
        "TRUSTED_PROXIES": "127.0.0.1",
        "RATE_LIMIT_REQUESTS_PER_MINUTE": "600",
        "RATE_LIMIT_WRITES_PER_MINUTE": "120",
        "RATE_LIMIT_FAILURES_PER_MINUTE": "60",
        "MAX_RECORDS_PER_COLLECTION": "200",
        "LOG_LEVEL": "warning",
    }
    with GunicornServer.without_tenant(directory, **settings).running() as server:
        crew = Crew()
        try:
            for work in _WORKS:
                crew.start(work(server.url, tally))
            crew.start(partial(_scrape, f"http://127.0.0.1:{metrics_port}/metrics", crew.ends))
            return _sampled(server, minutes, tally)
        finally:
            crew.end(_PATIENCE_SECONDS)


def _sampled(server: GunicornServer, minutes: float, tally: Tally) -> list[Sample]:
    (worker,) = server.workers()
    page, began, samples = os.sysconf("SC_PAGE_SIZE"), time.monotonic(), list[Sample]()
    print(f"{'minute':>7} {'MB':>7} {'requests':>9}", flush=True)
    while (minute := (time.monotonic() - began) / 60) <= minutes:
        resident = int(Path(f"/proc/{worker}/statm").read_text().split()[1]) * page / 1e6
        samples.append(Sample(minute, resident, len(tally.seen)))
        print(f"{minute:7.1f} {resident:7.1f} {len(tally.seen):9}", flush=True)
        time.sleep(max(minutes, 1))
    if server.workers() != {worker}:
        raise WorkerReplaced
    return samples


def _scrape(url: str, ends: threading.Event) -> None:
    requests.get(url, timeout=30).raise_for_status()
    ends.wait(5)


if __name__ == "__main__":
    sys.exit(main())
