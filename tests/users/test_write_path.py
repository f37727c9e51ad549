"""Concurrent writers of one user: nothing is lost, no seq is given twice. With a writer that does lose, as control."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select, update

from app.db import Database
from app.users.facts import TenantFacts
from app.users.identity import Identity
from app.users.merge_patch import merge
from app.users.models import Account
from app.users.profiles import Profile, _json, find, observe, patch

ADA = Identity("https://tenant.example/", "auth0|ada")
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
DEVICES = 6
ROUNDS = 8
Meet = Callable[[], object]
Writer = Callable[[Database, dict[str, Any], Meet], int]


def test_patch_when_six_devices_change_different_members_then_all_survive_and_no_seq_is_given_twice(database):
    """U14: "two devices that change different members both survive"; U2: "unique and increasing per user"."""

    def locked(database: Database, document: dict[str, Any], meet: Meet) -> int:
        meet()
        return database.transact(lambda session: patch(session, ADA, document, lambda _: None, NOW)).seq

    attributes, seqs, last = race(database, locked)
    assert attributes == {f"device-{device}": ROUNDS - 1 for device in range(DEVICES)}
    assert len(set(seqs)) == len(seqs) == DEVICES * ROUNDS
    assert last == max(seqs) == DEVICES * ROUNDS + 1
    assert increasing_for_each(seqs)


def test_race_when_the_writer_reads_before_it_locks_then_updates_are_lost(database):
    """§8: "with the naive variant … as its negative control, which must lose": the race is a race."""

    def naive(database: Database, document: dict[str, Any], meet: Meet) -> int:
        with database.read() as session:
            before = find(session, ADA, NOW)
        assert before is not None
        meet()
        merged = merge(before.members["attributes"], document["attributes"])
        values = {"attributes": _json(merged), "profile_seq": before.seq + 1}
        database.transact(
            lambda session: session.execute(update(Account).where(Account.user_key == ADA.user_key).values(values))
        )
        return before.seq + 1

    attributes, seqs, _last = race(database, naive)
    assert attributes != {f"device-{device}": ROUNDS - 1 for device in range(DEVICES)}
    assert len(set(seqs)) < len(seqs)


def test_observe_when_eight_first_requests_come_at_once_then_one_account(database):
    """U10: "made just in time at first use": of several that try, one makes it and none fails."""
    profiles: list[Profile] = []
    meeting = threading.Barrier(8)

    def first_request() -> None:
        meeting.wait(30)
        profiles.append(database.transact(lambda session: observe(session, ADA, TenantFacts({"name": "Ada"}), NOW)))

    run_all([threading.Thread(target=first_request) for _ in range(8)])
    assert len(profiles) == 8
    assert all(profile == profiles[0] for profile in profiles)
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Account)) == 1
        assert session.get_one(Account, ADA.user_key).seq == 1


def race(database: Database, write: Writer) -> tuple[dict[str, Any], list[int], int]:
    """Let every device write its own member, all of them at once in every round; a writer says where it meets."""
    database.transact(lambda session: observe(session, ADA, TenantFacts({}), NOW))
    meeting = threading.Barrier(DEVICES)
    seqs: list[list[int]] = [[] for _ in range(DEVICES)]

    def device(number: int) -> None:
        try:
            for turn in range(ROUNDS):
                document = {"attributes": {f"device-{number}": turn}}
                seqs[number].append(write(database, document, lambda: meeting.wait(30)))
        except BaseException:
            meeting.abort()
            raise

    run_all([threading.Thread(target=device, args=(number,)) for number in range(DEVICES)])
    with database.read() as session:
        profile = find(session, ADA, NOW)
    assert profile is not None
    return profile.members["attributes"], [seq for own in seqs for seq in own], profile.seq


def increasing_for_each(seqs: list[int]) -> bool:
    own = [seqs[start : start + ROUNDS] for start in range(0, len(seqs), ROUNDS)]
    return all(one == sorted(one) for one in own)


def run_all(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
