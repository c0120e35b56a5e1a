"""Let PostgreSQL clean oauth_session up at a fifth of its usual pace: most of what there is to clean comes while sessions are pruned."""

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

# The parts of a table that is in parts: it takes no such setting itself.
GENTLY = """
DO $$
DECLARE part regclass;
BEGIN
    FOR part IN SELECT oid FROM pg_class WHERE relkind = 'r' AND (
        oid = 'oauth_session'::regclass OR oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'oauth_session'::regclass)
    ) LOOP
        EXECUTE format('ALTER TABLE %s SET (autovacuum_vacuum_cost_delay = 10)', part);
    END LOOP;
END $$
"""


def vacuum_gently(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(GENTLY, params=None)


class Migration(migrations.Migration):
    dependencies = [("oauth", "0012_housekeeping")]

    operations = [migrations.RunPython(vacuum_gently, migrations.RunPython.noop)]
