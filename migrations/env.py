"""How alembic runs our migrations: on the connection that the command gives, which holds the lock already.

Takes   config.attributes["connection"], from app/commands/db.py
Gives   every step in one transaction, or none of them: on both databases DDL can be rolled back
Raises  what the database raises
Not     the lock, the time-outs, the URL (app/commands/db.py); SQL scripts without a database (alembic's --sql)
Source  alembic "Running Batch Migrations for SQLite"; docs/contracts/user-data.md §7
"""

from alembic import context
from sqlalchemy import Connection

import app.records.models
import app.stores.idempotency_models
import app.stores.proofs_database
import app.stores.revocation_models
import app.users.models  # noqa: F401 - imported for its effect: the tables are in the metadata then
from app.db import Base

connection: Connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    # SQLite alters a table by copying it.
    render_as_batch=connection.dialect.name == "sqlite",
    # NOTE alembic assumes that SQLite commits each DDL statement; begun by us, it does not.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
