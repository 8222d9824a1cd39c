"""Numbers for incidents and runs, and cards by which everything is found in place of an index for each column."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TSVECTOR

revision = "0004"
down_revision = "0003"

NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
WORDS = sa.Text().with_variant(TSVECTOR(), "postgresql")
CARDS = {
    "audit_cards": ("event", "actor", "rule", "target", "alertname", "decision", "guard", "outcome"),
    "incident_cards": ("rule", "target", "state", "decision", "guard", "outcome", "resolved_by", "labels"),
    "run_cards": ("rule", "target", "state", "outcome", "playbook", "labels"),
}
#: FTS5 keeps no second copy of the words; what is taken out of the index has to be named again.
FTS = (
    """CREATE VIRTUAL TABLE {cards}_words USING fts5(
        words, content='{cards}', content_rowid='number', columnsize=0, tokenize="ascii tokenchars '_'"
    )""",
    """CREATE TRIGGER {cards}_added AFTER INSERT ON {cards} BEGIN
        INSERT INTO {cards}_words(rowid, words) VALUES (new.number, new.words);
    END""",
    """CREATE TRIGGER {cards}_removed AFTER DELETE ON {cards} BEGIN
        INSERT INTO {cards}_words({cards}_words, rowid, words) VALUES ('delete', old.number, old.words);
    END""",
    """CREATE TRIGGER {cards}_changed AFTER UPDATE ON {cards} BEGIN
        INSERT INTO {cards}_words({cards}_words, rowid, words) VALUES ('delete', old.number, old.words);
        INSERT INTO {cards}_words(rowid, words) VALUES (new.number, new.words);
    END""",
)


def upgrade() -> None:
    """Make what is searched in; what lies there already is put into it by whoever runs this."""
    for index in ("audit_at", "audit_incident", "audit_run", "audit_rule_at", "audit_target_at"):
        op.drop_index(index, "audit")
    _number("incidents", "opened_at", drop=("incidents_opened_at", "incidents_rule_target"))
    _number("runs", "created_at", drop=("runs_created_at", "runs_incident"))
    op.create_index("incidents_outcomes", "incidents", ["rule", "target", "resolved_by", "came_back", "seconds"])
    op.create_index("runs_outcomes", "runs", ["rule", "target", "outcome"])
    op.create_index("runs_state", "runs", ["state"])
    op.create_table(
        "spans",
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("span", NUMBER, primary_key=True, autoincrement=False),
        sa.Column("first_at", sa.String(27), nullable=False),
        sa.Column("last_at", sa.String(27), nullable=False),
    )
    for name, columns in CARDS.items():
        _cards(name, columns)


def _number(table: str, time: str, *, drop: tuple[str, ...]) -> None:
    for index in drop:
        op.drop_index(index, table)
    op.add_column(table, sa.Column("number", NUMBER))
    ordered = f"SELECT id, row_number() OVER (ORDER BY {time}, id) AS place FROM {table}"
    op.execute(f"UPDATE {table} SET number = place FROM ({ordered}) AS ordered WHERE ordered.id = {table}.id")
    with op.batch_alter_table(table) as altered:
        altered.alter_column("number", existing_type=NUMBER, nullable=False)
    op.create_index(f"{table}_number", table, ["number"], unique=True)


def _cards(name: str, columns: tuple[str, ...]) -> None:
    op.create_table(
        name,
        sa.Column("number", NUMBER, primary_key=True, autoincrement=False),
        sa.Column("at", sa.String(27), nullable=False),
        *(sa.Column(column, sa.Text) for column in columns),
        sa.Column("words", WORDS, nullable=False),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.create_index(
            f"{name}_words",
            name,
            ["words"],
            postgresql_using="gin",
            # What is kept unsorted has to be read through by every search.
            postgresql_with={"gin_pending_list_limit": 128},
        )
        return
    for statement in FTS:
        op.execute(statement.format(cards=name))
