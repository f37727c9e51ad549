"""What the token core needs kept: what is revoked, and which DPoP proofs have been used.

Gives   revocations; revocation_version, one row that every change raises; dpop_proofs
Not     downgrade() lifts every revocation
Source  docs/contracts/tokens.md T24, K11, P2
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "revocations",
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("value", sa.String(255), nullable=False),
        # Seconds since the epoch (UTC), as in the tokens that they are compared with.
        sa.Column("last_second", sa.BigInteger()),
        sa.Column("expires_at", sa.BigInteger()),
        sa.Column("note", sa.String(200), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("kind", "value", name=op.f("pk_revocations")),
        sa.CheckConstraint("kind IN ('token', 'user', 'client', 'key')", name=op.f("ck_revocations_kind")),
    )
    op.create_index(op.f("ix_revocations_expires_at"), "revocations", ["expires_at"])
    version = op.create_table(
        "revocation_version",
        sa.Column("id", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_revocation_version")),
        sa.CheckConstraint("id = 1", name=op.f("ck_revocation_version_one_row")),
    )
    op.bulk_insert(version, [{"id": 1, "version": 0}])
    op.create_table(
        "dpop_proofs",
        # The RFC 7638 thumbprint of the proving key and the SHA-256 of the proof's jti, both in base64url.
        sa.Column("jkt", sa.CHAR(43), nullable=False),
        sa.Column("jti_digest", sa.CHAR(43), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("jkt", "jti_digest", name=op.f("pk_dpop_proofs")),
    )
    op.create_index(op.f("ix_dpop_proofs_expires_at"), "dpop_proofs", ["expires_at"])


def downgrade() -> None:
    op.drop_table("dpop_proofs")
    op.drop_table("revocation_version")
    op.drop_table("revocations")
