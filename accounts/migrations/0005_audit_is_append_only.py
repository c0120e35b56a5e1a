"""PostgreSQL itself refuses to change an audit event, and to delete one that is not past the retention that was announced."""

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

FUNCTION = """
CREATE FUNCTION accounts_auditevent_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    retention text := coalesce(current_setting('authserver.audit_retention_seconds', true), '');
BEGIN
    IF TG_OP = 'DELETE' AND retention <> '' AND OLD.at < clock_timestamp() - greatest(retention::bigint, 2592000) * interval '1 second' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'audit events are only added' USING ERRCODE = 'insufficient_privilege';
END $$
"""
TRIGGER = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON accounts_auditevent
FOR EACH ROW EXECUTE FUNCTION accounts_auditevent_append_only()
"""


def guard(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(FUNCTION)
        schema_editor.execute(TRIGGER)


def unguard(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP TRIGGER append_only ON accounts_auditevent")
        schema_editor.execute("DROP FUNCTION accounts_auditevent_append_only")


class Migration(migrations.Migration):
    dependencies = [("accounts", "0004_attempts_are_counted")]

    operations = [migrations.RunPython(guard, unguard)]
