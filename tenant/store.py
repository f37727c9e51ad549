"""What the tenant must remember: logins, running authorization requests, codes, grants, refresh tokens, consents.

Takes   the state directory
Gives   Store.transaction(): one session in one write transaction, committed at its end, rolled back by an exception
Raises  SQLAlchemy's errors
Not     keys (keys.py); rules about what is still valid (grants.py, refresh.py, login.py). Codes and tokens are kept as
        SHA-256 digests: a copy of the file logs nobody in
Source  D6, D8
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, ForeignKey, create_engine, delete, event
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

BUSY_TIMEOUT_SECONDS = 10
REQUEST_SECONDS = 3600


class Base(DeclarativeBase):
    """The tenant's tables. There are no migrations: another layout gets another file name."""


class Login(Base):
    """A session of a browser: who logged in, and when (seconds since the epoch)."""

    __tablename__ = "logins"
    sid: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str]
    auth_time: Mapped[int]


class PendingRequest(Base):
    """An authorization request that waits for a login or a consent; bound to the browser that began it."""

    __tablename__ = "pending_requests"
    id: Mapped[str] = mapped_column(primary_key=True)
    browser: Mapped[str]
    query: Mapped[str]
    created_at: Mapped[int]
    logged_in: Mapped[bool] = mapped_column(default=False)
    consented: Mapped[bool] = mapped_column(default=False)


class Grant(Base):
    """What a user has given an application by one login: the family that its refresh tokens belong to."""

    __tablename__ = "grants"
    id: Mapped[str] = mapped_column(primary_key=True)
    client_id: Mapped[str]
    user_id: Mapped[str]
    scope: Mapped[str]
    audience: Mapped[str | None]
    sid: Mapped[str]
    auth_time: Mapped[int]
    created_at: Mapped[int]
    revoked_at: Mapped[int | None] = mapped_column(default=None)

    def check_client(self, client: Any) -> bool:
        """Tell whether the grant is this application's (asked by Authlib)."""
        return bool(client.client_id == self.client_id)

    def get_scope(self) -> str:
        """Return the granted scope (asked by Authlib)."""
        return self.scope


class Code(Base):
    """An authorization code; `grant_id` is set by its one use."""

    __tablename__ = "codes"
    digest: Mapped[str] = mapped_column(primary_key=True)
    client_id: Mapped[str]
    user_id: Mapped[str]
    redirect_uri: Mapped[str]
    scope: Mapped[str]
    audience: Mapped[str | None]
    nonce: Mapped[str | None]
    code_challenge: Mapped[str]
    code_challenge_method: Mapped[str]
    sid: Mapped[str]
    auth_time: Mapped[int]
    created_at: Mapped[int]
    grant_id: Mapped[str | None] = mapped_column(ForeignKey("grants.id"), default=None)

    def get_redirect_uri(self) -> str:
        """Return the address it was sent to (asked by Authlib)."""
        return self.redirect_uri

    def get_scope(self) -> str:
        """Return the granted scope (asked by Authlib)."""
        return self.scope


class RefreshToken(Base):
    """One refresh token of a grant. `used_at`: when it was first exchanged for its successor."""

    __tablename__ = "refresh_tokens"
    digest: Mapped[str] = mapped_column(primary_key=True)
    grant_id: Mapped[str] = mapped_column(ForeignKey("grants.id"), index=True)
    parent: Mapped[str | None] = mapped_column(index=True)
    active_at: Mapped[int]
    used_at: Mapped[int | None] = mapped_column(default=None)


class IssuedAccessToken(Base):
    """Which grant an access token came from, so that /userinfo refuses it once the grant is revoked."""

    __tablename__ = "access_tokens"
    digest: Mapped[str] = mapped_column(primary_key=True)
    grant_id: Mapped[str] = mapped_column(ForeignKey("grants.id"))
    expires_at: Mapped[int]


class Consent(Base):
    """What a user has agreed to give an application at an API ("" where there is none)."""

    __tablename__ = "consents"
    user_id: Mapped[str] = mapped_column(primary_key=True)
    client_id: Mapped[str] = mapped_column(primary_key=True)
    audience: Mapped[str] = mapped_column(primary_key=True)
    scope: Mapped[str]


class Store:
    """The file and its engine."""

    def __init__(self, directory: Path) -> None:
        path = directory / "tenant-1.db"
        path.touch(mode=0o600)
        self._engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_TIMEOUT_SECONDS})
        _prepare(self._engine)
        Base.metadata.create_all(self._engine)
        self._sessions = sessionmaker(self._engine, expire_on_commit=False)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Give a session that holds the write lock from the start: two uses of one code cannot interleave."""
        with self._sessions() as session, session.begin():
            yield session

    def forget_old(self, now: int) -> None:
        """Delete what cannot matter any more."""
        with self.transaction() as session:
            session.execute(delete(PendingRequest).where(PendingRequest.created_at < now - REQUEST_SECONDS))
            session.execute(delete(IssuedAccessToken).where(IssuedAccessToken.expires_at < now))

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()


def digest(secret: str) -> str:
    """Return the form in which a code or token is kept."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _prepare(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: object) -> None:
        # The driver's own BEGIN comes late and without the write lock: it is turned off, and ours is sent below.
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "foreign_keys=ON", "synchronous=NORMAL"):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
