"""What metrics are made of: incidents and runs that ended count from the first one on, all else from now on."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

#: Each metric, and the rows that it counts.
COUNTED = {
    "alertmend_incidents_opened_total": "SELECT rule, '', count(*) FROM incidents GROUP BY rule",
    "alertmend_incidents_resolved_total": "SELECT rule, resolved_by, count(*) FROM incidents"
    " WHERE resolved_by IS NOT NULL GROUP BY rule, resolved_by",
    "alertmend_runs_total": "SELECT rule, outcome, count(*) FROM runs WHERE outcome IS NOT NULL GROUP BY rule, outcome",
}


def upgrade() -> None:
    """Add the table, and count what is there."""
    counts = op.create_table(
        "counts",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("series", sa.Text, primary_key=True),
        sa.Column("value", sa.Float, nullable=False),
    )
    for name, query in COUNTED.items():
        rows = [
            {"name": name, "series": _series(rule, value), "value": number}
            for rule, value, number in op.get_bind().execute(sa.text(query))
        ]
        if rows:
            op.bulk_insert(counts, rows)


def _series(rule: str, value: str) -> str:
    labels = [rule, value] if value else [rule]
    return json.dumps([*labels, ""], ensure_ascii=False, separators=(",", ":"))
