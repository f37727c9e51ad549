"""Say what the sync costs: the part "sync" of docs/performance.md.

Takes   what sync_size.py and sync_peers.py measured
Gives   Markdown
Raises  nothing
Not     the measuring; the other parts (report.py)
"""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.report import machine
from benchmarks.sync_peers import DELTA, LIST, OURS, READERS, RECORD, RECORDS, THEIRS, UNCHANGED, WRITE, Beside
from benchmarks.sync_plans import Cost
from benchmarks.sync_size import LARGE, SMALL, Sizes

_LIBRARIES = ("sqlalchemy", "psycopg", "flask", "gunicorn", "orjson")
_WANTED_BESIDE = {RECORD: 3.0, LIST: 2.0, DELTA: 3.0}
_WANTED_RATIO = 1.5
_EXPLAINED = {
    RECORD: "one record",
    LIST: "a list of 100 records",
    DELTA: "an empty delta, 200 (Kinto: `?_since=`)",
    UNCHANGED: "an empty delta, 304 (`If-None-Match`)",
    WRITE: "a record replaced (PUT), on the disk before it is acknowledged",
}


@dataclass(frozen=True, slots=True)
class Sync:
    """All that was measured of the sync."""

    sizes: Sequence[Sizes]
    beside: Sequence[Beside]
    rounds: int
    requests: int
    server: str
    """PostgreSQL's version."""
    peer: str
    """Kinto's."""


def part(found: Sync) -> str:
    """The whole part."""
    return f"""## Sync

{machine(_LIBRARIES)}; PostgreSQL {found.server}, Kinto {found.peer}.

{targets(found)}

### The same sync with {SMALL} and with {LARGE} records of one user

{_times(found.sizes)}

{_counts(found.sizes)}

{_bytes(found.sizes)}

### Beside Kinto

{_beside(found.beside)}

### How the sync is measured
- The times are those of `GET /v1/changes` through gunicorn (one worker, the deployed configuration, verified tokens,
  limits counted), over four kept-alive connections. The two users are in the same tables behind the same server and
  take turns, {found.rounds} rounds of {found.requests} requests each (pages of 500: a third); a ratio is taken inside
  one round.
- Buffers: `EXPLAIN (ANALYZE, BUFFERS)` of every statement that the poll sent, with its parameters, the second time in a
  row; "generic" is the same as a prepared statement with `plan_cache_mode = force_generic_plan`, the plan that
  PostgreSQL may keep. SQLite tells no pages to Python: counted are the steps of its virtual machine.
- Bytes per record: `pg_relation_size` of table and indexes after the fill, by the number of records. They hold about
  200 bytes of JSON each, and their keys are 36 + 8 + 8 bytes; rows that are updated leave room behind until a vacuum.
- Both servers beside each other: gunicorn, one gthread worker of 8 threads, a pool of 10 connections, PostgreSQL
  through a Unix socket with fsync and synchronous_commit on. {READERS} users with {RECORDS} records of the same JSON
  read, others write. Kinto has what is cheapest for it: `basicauth` (a keyed hash, nothing is looked up; ours verifies
  tokens, cached), no plugin, no log (ours writes a line for each request), a memory cache, permissions in PostgreSQL.
  An answer with a wrong status ends the run, and both must list as many records and tell no change.
- CPU is the worker's own; what PostgreSQL and the sender take of the machine's cores is in the throughput alone.
"""


def targets(found: Sync) -> str:
    """What is wanted, beside what was found."""
    lines = ["| target | wanted | measured | |", "| --- | ---: | ---: | --- |"]
    for one in found.beside:
        if one.kind in _WANTED_BESIDE:
            wanted = _WANTED_BESIDE[one.kind]
            lines.append(
                f"| throughput beside Kinto's: {_EXPLAINED[one.kind]} | at least {wanted:g} × | {one.ratio:.2f} × "
                f"| {_verdict(is_met=one.ratio >= wanted)} |"
            )
    for sizes in found.sizes:
        worst = max(sizes.syncs, key=lambda one: one.ratio)
        lines.append(
            f"| {sizes.database}: time at {LARGE} records beside {SMALL}, the worst ({worst.sync}) "
            f"| at most {_WANTED_RATIO:g} × | {worst.ratio:.2f} × | {_verdict(is_met=worst.ratio <= _WANTED_RATIO)} |"
        )
    return "\n".join(lines)


def _verdict(*, is_met: bool) -> str:
    return "met" if is_met else "**missed**"


def _times(found: Sequence[Sizes]) -> str:
    lines = [
        f"| through HTTP | ms at {SMALL} | ms at {LARGE} | ratio (lowest–highest) |",
        "| --- | ---: | ---: | ---: |",
    ]
    for sizes in found:
        lines += [
            f"| {sizes.database}, {one.sync} | {one.small_milliseconds:.2f} | {one.large_milliseconds:.2f} "
            f"| {one.ratio:.2f} × ({one.lowest_ratio:.2f}–{one.highest_ratio:.2f}) |"
            for one in sizes.syncs
        ]
    return "\n".join(lines)


def _counts(found: Sequence[Sizes]) -> str:
    lines = [
        f"| statements of one sync | buffers or steps at {SMALL} | at {LARGE} | plan |",
        "| --- | ---: | ---: | --- |",
    ]
    for sizes in found:
        for one in sizes.syncs:
            lines += [
                f"| {sizes.database}, {one.sync}, {place} of {len(one.small)} | {_count(few)} | {_count(many)} "
                f"| {_plan(few, many)} |"
                for place, (few, many) in enumerate(zip(one.small, one.large, strict=True), 1)
            ]
    return "\n".join(lines)


def _count(cost: Cost) -> str:
    if cost.count_when_generic is None:
        return str(cost.count)
    return f"{cost.count} (generic {cost.count_when_generic})"


def _plan(few: Cost, many: Cost) -> str:
    return few.plan if few.plan == many.plan else f"**not the same**: {few.plan}; {many.plan}"


def _bytes(found: Sequence[Sizes]) -> str:
    lines = ["| bytes per record on PostgreSQL | | MB per million records |", "| --- | ---: | ---: |"]
    for sizes in found:
        if sizes.bytes_per_record:
            lines += [f"| `{name}` | {size:.0f} | {size:.0f} |" for name, size in sizes.bytes_per_record.items()]
            total = sum(sizes.bytes_per_record.values())
            lines.append(f"| together | {total:.0f} | {total:.0f} |")
    return "\n".join(lines)


def _beside(found: Sequence[Beside]) -> str:
    rates = f"{OURS}, requests per second | {THEIRS} | {OURS}'s throughput (lowest–highest)"
    times = f"{OURS}, CPU µs per request | {THEIRS} | {THEIRS}'s CPU"
    lines = [f"| | {rates} | {times} |", "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"]
    lines += [
        f"| {_EXPLAINED[one.kind]} | {one.ours_per_second:.0f} | {one.theirs_per_second:.0f} "
        f"| {one.ratio:.2f} × ({one.lowest_ratio:.2f}–{one.highest_ratio:.2f}) "
        f"| {one.ours_cpu_microseconds:.0f} | {one.theirs_cpu_microseconds:.0f} | {one.cpu_ratio:.2f} × |"
        for one in found
    ]
    return "\n".join(lines)
