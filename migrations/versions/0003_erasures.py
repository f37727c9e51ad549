"""Account deletion: when it was asked for, which accounts are due, and who has been erased.

Gives   accounts.deletion_requested_at, an index of the accounts that are to be purged; erasures
Not     downgrade() forgets who was erased: an old device can then make such an account again
Source  docs/contracts/user-data.md U16
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("accounts", sa.Column("deletion_requested_at", sa.DateTime(timezone=True)))
    scheduled = sa.text("purge_at IS NOT NULL")
    op.create_index(
        op.f("ix_accounts_purge_at"), "accounts", ["purge_at"], postgresql_where=scheduled, sqlite_where=scheduled
    )
    op.create_table(
        "erasures",
        # SHA-256 of the user_key, in hexadecimal.
        sa.Column("user_key_hash", sa.CHAR(64), nullable=False),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("user_key_hash", name=op.f("pk_erasures")),
    )


def downgrade() -> None:
    op.drop_table("erasures")
    op.drop_index(op.f("ix_accounts_purge_at"), "accounts")
    op.drop_column("accounts", "deletion_requested_at")
