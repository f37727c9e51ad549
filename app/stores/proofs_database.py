"""Remember used DPoP proofs in the database, which all workers and hosts of an API share anyway.

Takes   Database; thumbprint, digest and times of one proof
Gives   DatabaseProofStore, a ProofStore; DpopProof, its table
Raises  TooManyProofs; ProofsUnavailable for a database that is down, busy, not migrated, or full of live proofs
Not     what a good proof is (app/oauth/dpop/check.py)
Source  docs/contracts/tokens.md P2; PostgreSQL "INSERT", ON CONFLICT

One statement asks and remembers: of two that bring the same proof at the same time, the unique key lets one insert.
The bound of one key is counted in that statement, over an index and up to the bound. The bound of all is counted, and
what has expired is swept, every few seconds by whichever request comes then; between two counts it may be passed by
as many proofs as arrive meanwhile.
"""

import logging
from threading import Lock
from typing import Final

from sqlalchemy import (
    CHAR,
    BigInteger,
    CursorResult,
    Executable,
    bindparam,
    cast,
    delete,
    func,
    literal,
    select,
    tuple_,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db import Base, Database, DatabaseBusy, DatabaseUnavailable
from app.oauth.dpop.faults import ProofsUnavailable, TooManyProofs

MAX_PROOFS_PER_KEY: Final = 2_000
MAX_PROOFS: Final = 1_000_000
SWEEP_EVERY_SECONDS: Final = 10
_SWEPT_AT_ONCE: Final = 20_000

_log = logging.getLogger(__name__)


class DpopProof(Base):
    """One used proof; `expires_at` is in seconds since the epoch (UTC), as in the proof."""

    __tablename__ = "dpop_proofs"

    jkt: Mapped[str] = mapped_column(CHAR(43), primary_key=True)
    jti_digest: Mapped[str] = mapped_column(CHAR(43), primary_key=True)
    expires_at: Mapped[int] = mapped_column(BigInteger, index=True)


_PROOFS: Final = Base.metadata.tables[DpopProof.__tablename__]


class DatabaseProofStore:
    """The used proofs of one database; safe to share between threads."""

    def __init__(
        self, database: Database, *, max_per_key: int = MAX_PROOFS_PER_KEY, max_proofs: int = MAX_PROOFS
    ) -> None:
        """Take the database and the two bounds."""
        self._database = database
        # Written once: putting the statement together costs more than running it.
        self._insertion = _insertion(database.engine.dialect.name, max_per_key)
        self._max_proofs = max_proofs
        self._is_full = False
        self._next_sweep = 0.0
        self._lock = Lock()

    def remember(self, jkt: str, jti_digest: str, *, expires_at: int, now: float) -> bool:
        """Tell whether this proof is new, and remember it."""
        try:
            if self._sweep_is_due(now):
                self._sweep(now)
            if self._is_full:
                raise ProofsUnavailable("the table of used proofs is full")
            return self._database.transact(lambda session: self._insert(session, jkt, jti_digest, expires_at, now))
        except (DatabaseUnavailable, DatabaseBusy) as fault:
            raise ProofsUnavailable("the database cannot remember a proof") from fault

    def _insert(self, session: Session, jkt: str, jti_digest: str, expires_at: int, now: float) -> bool:
        proof = {"proof_jkt": jkt, "proof_digest": jti_digest, "ends": expires_at, "now": int(now)}
        # NOTE: without preserve_rowcount, SQLAlchemy keeps the count of an UPDATE or a DELETE alone.
        result = session.execute(self._insertion, proof, execution_options={"preserve_rowcount": True})
        if isinstance(result, CursorResult) and result.rowcount == 1:
            return True
        used = select(literal(1)).where(_PROOFS.c.jkt == jkt, _PROOFS.c.jti_digest == jti_digest)
        if session.scalar(used) is None:
            raise TooManyProofs
        return False

    def _sweep_is_due(self, now: float) -> bool:
        with self._lock:
            # A clock that was set back must not put the next sweep off for long.
            if abs(self._next_sweep - now) <= SWEEP_EVERY_SECONDS and now < self._next_sweep:
                return False
            self._next_sweep = now + SWEEP_EVERY_SECONDS
            return True

    def _sweep(self, now: float) -> None:
        """Remove what has expired, in portions and past rows that another worker is removing; then count."""
        columns = _PROOFS.c
        expired = (
            select(columns.jkt, columns.jti_digest)
            .where(columns.expires_at <= int(now))
            .order_by(columns.expires_at)
            .limit(_SWEPT_AT_ONCE)
            .with_for_update(skip_locked=True)
        )
        remove = delete(_PROOFS).where(tuple_(columns.jkt, columns.jti_digest).in_(expired))
        self._database.transact(lambda session: session.execute(remove))
        live = columns.expires_at > int(now)
        present = select(literal(1)).select_from(_PROOFS).where(live).limit(self._max_proofs).subquery()
        with self._database.read() as session:
            self._is_full = session.scalar(select(func.count()).select_from(present)) == self._max_proofs
        if self._is_full:
            _log.error("There is no room for used DPoP proofs: %d of them are remembered.", self._max_proofs)


def _insertion(dialect: str, max_per_key: int) -> Executable:
    """Insert one proof if it is new, and if its key has room for it."""
    columns = _PROOFS.c
    # Cast, because a parameter of a SELECT has no column to take its type from.
    jkt, digest = cast(bindparam("proof_jkt"), CHAR(43)), cast(bindparam("proof_digest"), CHAR(43))
    ends, now = cast(bindparam("ends"), BigInteger), cast(bindparam("now"), BigInteger)
    live = select(literal(1)).where(columns.jkt == jkt, columns.expires_at > now).limit(max_per_key)
    has_room = select(func.count()).select_from(live.subquery()).scalar_subquery() < max_per_key
    insert = sqlite.insert if dialect == "sqlite" else postgresql.insert
    statement = insert(_PROOFS).from_select(columns.keys(), select(jkt, digest, ends).where(has_room))
    return statement.on_conflict_do_nothing()
