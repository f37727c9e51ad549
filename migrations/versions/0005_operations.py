"""What goes with the writes: answers kept for their Idempotency-Key, exports counted, the operator's changes.

Gives   idempotency, exports, operator_changes; every primary key is led by user_key
Not     downgrade() forgets which retries were answered and what the operator did
Source  docs/contracts/user-data.md §2, §7, U5
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "idempotency",
        sa.Column("user_key", sa.CHAR(36), nullable=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("fingerprint", sa.CHAR(64), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("fields", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("user_key", "key", name=op.f("pk_idempotency")),
    )
    op.create_index(op.f("ix_idempotency_created_at"), "idempotency", ["created_at"])
    op.create_table(
        "exports",
        sa.Column("user_key", sa.CHAR(36), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("user_key", "started_at", name=op.f("pk_exports")),
    )
    op.create_table(
        "operator_changes",
        sa.Column("user_key", sa.CHAR(36), nullable=False),
        sa.Column("id", sa.CHAR(36), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("operator", sa.String(255), nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("before", sa.Text(), nullable=True),
        sa.Column("after", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("user_key", "id", name=op.f("pk_operator_changes")),
    )


def downgrade() -> None:
    op.drop_table("operator_changes")
    op.drop_table("exports")
    op.drop_index(op.f("ix_idempotency_created_at"), "idempotency")
    op.drop_table("idempotency")
