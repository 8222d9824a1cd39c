"""Incidents are kept whole, so that they can be remembered again when Redis was lost, and counted by rule."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add columns; what was recorded before stays without."""
    op.add_column("incidents", sa.Column("body", sa.Text, nullable=False, server_default=""))
    op.add_column("incidents", sa.Column("came_back", sa.Integer, nullable=False, server_default="0"))
    op.add_column("incidents", sa.Column("seconds", sa.Float))
    op.create_index("incidents_rule_target", "incidents", ["rule", "target"])
