"""Have PostgreSQL write out what a vacuum, or who prunes sessions, has changed as it goes on (`backend_flush_after`, for this database).

Linux would gather half a gigabyte of it until the next checkpoint has it written at once, and refreshes wait meanwhile for the log.
A vacuum has no other settings than those of its database. Only who owns that may give them; the doctor tells when they lack.
"""

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

PAGES = 32  # of 8 KB. Where the system that PostgreSQL runs on has no way to do that the most is 0.


def flush_as_it_goes(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    if schema_editor.connection.vendor != "postgresql":
        return
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT quote_ident(datname), least(%s, max_val::int) FROM pg_database, pg_settings
            WHERE datname = current_database() AND pg_has_role(datdba, 'USAGE') AND name = 'backend_flush_after' AND max_val <> '0'
              AND (setting = '0' OR source IN ('client', 'session', 'user', 'database user'))""",
            [PAGES],
        )
        for name, pages in cursor.fetchall():
            cursor.execute(f"ALTER DATABASE {name} SET backend_flush_after = {pages}")


class Migration(migrations.Migration):
    dependencies = [("oauth", "0013_instances_are_known")]

    operations = [migrations.RunPython(flush_as_it_goes, migrations.RunPython.noop)]
