"""Runs migrations on the connection that it was given."""

from alembic import context

from webhook.edge.ledger import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
