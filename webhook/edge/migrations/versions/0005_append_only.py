"""The database itself refuses to change the audit log, but for the removal of what was pruned. Checkpoints."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
#: Tables to which rows are added and never anything else done.
KEPT = ("audit", "prunings", "checkpoints")
WORDS = "is append-only: its rows are neither changed nor removed"
PRUNED = "OLD.seq <= (SELECT coalesce(max(last_seq), 0) FROM prunings)"


def upgrade() -> None:
    """Add the tables and the triggers."""
    op.create_table(
        "prunings",
        sa.Column("last_seq", NUMBER, primary_key=True, autoincrement=False),
        sa.Column("last_hash", sa.String(64), nullable=False),
        sa.Column("before", sa.String(27), nullable=False),
    )
    op.create_table(
        "checkpoints",
        sa.Column("seq", NUMBER, primary_key=True, autoincrement=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("at", sa.String(27), nullable=False),
        sa.Column("signature", sa.Text),
    )
    if op.get_bind().dialect.name == "postgresql":
        _postgresql()
    else:
        _sqlite()


def _sqlite() -> None:
    for table in KEPT:
        unless = f" WHEN NOT ({PRUNED})" if table == "audit" else ""
        refuse = f"BEGIN SELECT RAISE(ABORT, '{table} {WORDS}'); END"
        op.execute(f"CREATE TRIGGER {table}_not_changed BEFORE UPDATE ON {table} {refuse}")
        op.execute(f"CREATE TRIGGER {table}_not_removed BEFORE DELETE ON {table}{unless} {refuse}")
        key = "last_seq" if table == "prunings" else "seq"
        # An INSERT OR REPLACE removes a row without asking the trigger above.
        op.execute(
            f"CREATE TRIGGER {table}_not_replaced BEFORE INSERT ON {table}"
            f" WHEN NEW.{key} <= (SELECT max({key}) FROM {table}) {refuse}"
        )


def _postgresql() -> None:
    op.execute(
        "CREATE FUNCTION alertmend_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF TG_OP = 'DELETE' AND TG_TABLE_NAME = 'audit' THEN IF {PRUNED} THEN RETURN OLD; END IF; END IF;"
        f" RAISE EXCEPTION '% {WORDS}', TG_TABLE_NAME; END $$"
    )
    for table in KEPT:
        refuse = "EXECUTE FUNCTION alertmend_append_only()"
        op.execute(f"CREATE TRIGGER {table}_kept BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW {refuse}")
        op.execute(f"CREATE TRIGGER {table}_not_emptied BEFORE TRUNCATE ON {table} FOR EACH STATEMENT {refuse}")
