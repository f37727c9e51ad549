"""After a race: what was promised, told and stored, held against each other.

Takes   the Ledger of a user's writers, the readers, the database
Gives   Toll: all zeros but its first number, or what went wrong
Raises  AssertionError where the tallies under the lock are not those of the rows
Not     the race (http_race.py), the judgement: the tests say what must be zero, and what must not
Source  docs/contracts/user-data.md U5, U15, §7, §8
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson
from sqlalchemy import select

from app.db import Database
from app.records.models import RecordRow
from app.users.identity import Identity
from app.users.models import Account
from tests.support.http_writers import Ledger
from tests.support.sync_client import Follower, Key, Told


@dataclass(frozen=True, slots=True)
class Toll:
    """What came of one user's writes: how many were acknowledged, and what must be zero.

    lost         acknowledged, and some reader has never seen it or a later version of the same record
    twice        numbers that were given to two changes
    disordered   changes that a reader was told after one with a higher number
    strayed      readers whose copy is another one than what is stored
    missing      acknowledged, and neither stored nor overwritten by a later version
    mistold      changes that were told with other data than were acknowledged under their number
    torn         batches of which a part is stored
    unexplained  numbers that were used and that nobody has acknowledged, as of an effect that happened twice
    resyncs      times a reader was told to begin again
    faults       answers that no writer should have got
    """

    acknowledged: int
    lost: int = 0
    twice: int = 0
    disordered: int = 0
    strayed: int = 0
    missing: int = 0
    mistold: int = 0
    torn: int = 0
    unexplained: int = 0
    resyncs: int = 0
    faults: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        """Tell whether nothing went wrong."""
        return self == Toll(self.acknowledged)


def reckoned(identity: Identity, ledger: Ledger, readers: Sequence[tuple[Follower, bool]], database: Database) -> Toll:
    """Compare; of each reader it is said whether it has read from the very beginning."""
    stored, followers = _stored(database, identity), [follower for follower, _whole in readers]
    effects = {effect.seq: effect for effect in ledger.effects}
    # Who deletes what is deleted already is told of the deletion that there was: that is one change, not two.
    given = [effect.seq for effect in ledger.effects if effect.data is not None]
    given += [seq for seq, _key in {(effect.seq, effect.key) for effect in ledger.effects if effect.data is None}]
    lost = {
        effect.seq
        for effect in ledger.effects
        for follower, has_read_all in readers
        if _misses(follower, effect.key, effect.seq, stored, has_read_all=has_read_all)
    }
    living = {key: one.data for key, one in stored.items() if one.data is not None}
    overtaken = sum(effect.key not in stored or stored[effect.key].seq < effect.seq for effect in ledger.effects)
    differ = [one.seq in effects and not effects[one.seq].agrees(one.key, one.data) for one in stored.values()]
    told = [one for follower in followers for one in follower.told]
    return Toll(
        len(ledger.effects),
        lost=len(lost),
        twice=len(given) - len(set(given)),
        disordered=sum(follower.disordered for follower in followers),
        strayed=sum(
            follower.copy != {key: living[key] for key in living if follower.wants(key)} for follower in followers
        ),
        missing=overtaken + sum(differ),
        mistold=sum(one.seq in effects and not effects[one.seq].agrees(one.key, one.data) for one in told),
        torn=sum(0 < _part(one, stored) < len(one) for one in [*ledger.given_up, *ledger.whole]),
        unexplained=_unexplained(database, identity, ledger, stored),
        resyncs=sum(follower.resyncs for follower in followers),
        faults=tuple(ledger.faults),
    )


def _misses(follower: Follower, key: Key, seq: int, stored: Mapping[Key, Told], *, has_read_all: bool) -> bool:
    if not follower.wants(key) or follower.seen.get(key, 0) >= seq:
        return False
    # A first sync leaves out what was deleted before it began.
    is_left_out = key not in follower.seen and key in stored and stored[key].data is None
    return has_read_all or not is_left_out


def _unexplained(database: Database, identity: Identity, ledger: Ledger, stored: Mapping[Key, Told]) -> int:
    with database.read() as session:
        used = session.scalar(select(Account.seq).where(Account.user_key == identity.user_key))
    # Nobody knows whether what was given up was carried out: what is there, was.
    late = sum(len(records) for records in ledger.given_up if _part(records, stored))
    return 0 if used is None else abs(used - late - len({effect.seq for effect in ledger.effects}))


def _part(records: Mapping[Key, object], stored: Mapping[Key, Told]) -> int:
    return sum(key in stored for key in records)


def _stored(database: Database, identity: Identity) -> dict[Key, Told]:
    """All that is in the table, tombstones too."""
    columns = (RecordRow.collection, RecordRow.id, RecordRow.seq, RecordRow.data)
    with database.read() as session:
        rows = session.execute(select(*columns).where(RecordRow.user_key == identity.user_key)).all()
    found = [
        Told((row.collection, row.id), row.seq, None if row.data is None else orjson.loads(row.data)) for row in rows
    ]
    return {one.key: one for one in found}
