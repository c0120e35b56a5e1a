"""Let PostgreSQL clean oauth_session up when a fiftieth of its rows has changed, not a fifth: of ten million that is two million."""

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps


def vacuum_early(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(
            "ALTER TABLE oauth_session SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02)"
        )


class Migration(migrations.Migration):
    dependencies = [("oauth", "0010_secrets_from_elsewhere")]

    operations = [migrations.RunPython(vacuum_early, migrations.RunPython.noop)]
