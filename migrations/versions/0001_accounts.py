"""The users: one row each, which holds the profile and whose lock orders the user's writes.

Gives   accounts
Not     downgrade() drops every user with it
Source  docs/contracts/user-data.md §7
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("user_key", sa.CHAR(36), nullable=False),
        sa.Column("iss", sa.Text(), nullable=False),
        sa.Column("sub", sa.String(255), nullable=False),
        sa.Column("epoch", sa.CHAR(8), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("purged_seq", sa.BigInteger(), nullable=False),
        sa.Column("live", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("profile_seq", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(255)),
        sa.Column("given_name", sa.String(255)),
        sa.Column("family_name", sa.String(255)),
        sa.Column("nickname", sa.String(255)),
        sa.Column("picture", sa.String(2048)),
        sa.Column("locale", sa.String(35)),
        sa.Column("zoneinfo", sa.String(64)),
        sa.Column("email", sa.String(320)),
        sa.Column("email_verified", sa.Boolean()),
        sa.Column("roles", sa.Text(), nullable=False),
        sa.Column("app_attributes", sa.Text(), nullable=False),
        sa.Column("attributes", sa.Text(), nullable=False),
        sa.Column("sources", sa.Text(), nullable=False),
        sa.Column("told_at", sa.BigInteger()),
        sa.Column("userinfo_checked_at", sa.DateTime(timezone=True)),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("purge_at", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("user_key", name=op.f("pk_accounts")),
        # Room in the page for the next version of the row: the update then touches no index (HOT).
        postgresql_with={"fillfactor": 70},
    )


def downgrade() -> None:
    op.drop_table("accounts")
