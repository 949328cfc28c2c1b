"""What Alembic runs to run the revisions; ``topics/store/migrate.py`` hands it the connection and its transaction."""

from __future__ import annotations

from alembic import context

from topics.store.migrate import TABLE

context.configure(connection=context.config.attributes["connection"], version_table=TABLE)
context.run_migrations()
