"""The audit log, incidents and runs."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the first tables. Never changed again: what comes later is a migration of its own."""
    op.create_table(
        "audit",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
        sa.Column("at", sa.String(27), nullable=False),
        sa.Column("event", sa.String(32), nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("incident", sa.String(64)),
        sa.Column("run", sa.String(64)),
        sa.Column("rule", sa.Text),
        sa.Column("target", sa.Text),
        sa.Column("alertname", sa.Text),
        sa.Column("decision", sa.String(16)),
        sa.Column("outcome", sa.String(32)),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("previous_hash", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    op.create_index("audit_at", "audit", ["at"])
    op.create_index("audit_incident", "audit", ["incident"])
    op.create_index("audit_run", "audit", ["run"])
    op.create_index("audit_rule_at", "audit", ["rule", "at"])
    op.create_index("audit_target_at", "audit", ["target", "at"])
    op.create_table(
        "batches",
        sa.Column("id", sa.String(128), primary_key=True),
        sa.Column("last_seq", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "incidents",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("opened_at", sa.String(27), nullable=False),
        sa.Column("resolved_at", sa.String(27)),
        sa.Column("resolved_by", sa.String(16)),
        sa.Column("alerts", sa.Text, nullable=False),
        sa.Column("runs", sa.Text, nullable=False),
        sa.Column("decision", sa.Text),
    )
    op.create_index("incidents_opened_at", "incidents", ["opened_at"])
    op.create_table(
        "runs",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("incident", sa.String(64), nullable=False),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("state", sa.String(24), nullable=False),
        sa.Column("outcome", sa.String(16)),
        sa.Column("created_at", sa.String(27), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("output", sa.Text, nullable=False, server_default=""),
    )
    op.create_index("runs_created_at", "runs", ["created_at"])
    op.create_index("runs_incident", "runs", ["incident"])
