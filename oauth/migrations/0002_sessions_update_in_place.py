"""Leave room on each page of oauth_session, so that PostgreSQL writes a refresh beside the row it replaces (HOT)."""

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps


def leave_room(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("ALTER TABLE oauth_session SET (fillfactor = 70)")


class Migration(migrations.Migration):
    dependencies = [("oauth", "0001_clients_sessions_and_signing_keys")]

    operations = [migrations.RunPython(leave_room, migrations.RunPython.noop)]
