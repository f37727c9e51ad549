"""The living records in the order of their numbers: a first sync passes by what was deleted.

Gives   ix_records_user_key_seq_living
Not     without a lock: PostgreSQL holds the writes of all users while it builds the index (docs/operating.md)
Source  docs/contracts/user-data.md §7 "Changes"
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        op.f("ix_records_user_key_seq_living"),
        "records",
        ["user_key", "seq"],
        postgresql_where=sa.text("NOT deleted"),
        sqlite_where=sa.text("deleted = 0"),
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_records_user_key_seq_living"), "records")
