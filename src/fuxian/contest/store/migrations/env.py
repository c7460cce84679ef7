"""Alembic's entry: runs the migrations on the connection that ``Database`` brings."""

from alembic import context

from fuxian.contest.store.models import Base

connection = context.config.attributes["connection"]
# SQLite changes tables by copying them.
context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
