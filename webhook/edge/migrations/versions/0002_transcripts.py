"""What playbooks said, with the place of each passage, apart from the runs that are listed."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Move the output of each run into its transcript."""
    transcripts = op.create_table(
        "transcripts",
        sa.Column("run", sa.String(64), primary_key=True),
        sa.Column("passages", sa.Text, nullable=False),
    )
    runs = sa.table("runs", sa.column("id"), sa.column("created_at"), sa.column("output"))
    connection = op.get_bind()
    for id, at, output in connection.execute(sa.select(runs).where(runs.c.output != "")).all():
        passages = json.dumps([{"at": at, "text": output, "number": 1}])
        connection.execute(transcripts.insert(), {"run": id, "passages": passages})
    op.drop_column("runs", "output")
