"""Records with their tombstones, what each collection holds, and the preferences.

Gives   records, collections, preferences; every primary key is led by user_key
Not     downgrade() drops every record of every user
Source  docs/contracts/user-data.md §7
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "records",
        sa.Column("user_key", sa.CHAR(36), nullable=False),
        sa.Column("collection", _name(32), nullable=False),
        sa.Column("id", _name(64), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("created_seq", sa.BigInteger(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("data", sa.Text()),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("origin", sa.String(64)),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("user_key", "collection", "id", name=op.f("pk_records")),
        sa.UniqueConstraint("user_key", "seq", name=op.f("uq_records_user_key_seq")),
    )
    op.create_index(
        op.f("ix_records_user_key_updated_at"),
        "records",
        ["user_key", "updated_at"],
        postgresql_where=sa.text("deleted"),
        sqlite_where=sa.text("deleted = 1"),
    )
    op.create_table(
        "collections",
        sa.Column("user_key", sa.CHAR(36), nullable=False),
        sa.Column("name", _name(32), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("user_key", "name", name=op.f("pk_collections")),
    )
    op.create_table(
        "preferences",
        sa.Column("user_key", sa.CHAR(36), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("origin", sa.String(64)),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("user_key", name=op.f("pk_preferences")),
    )


def downgrade() -> None:
    op.drop_table("preferences")
    op.drop_table("collections")
    op.drop_index(op.f("ix_records_user_key_updated_at"), "records")
    op.drop_table("records")


def _name(length: int) -> sa.String:
    """Ordered by its bytes on both databases: SQLite does so by itself, PostgreSQL by the language of its set-up."""
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")
