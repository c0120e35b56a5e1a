"""Indexes of the audit log, one for each question that the admin asks of it.

What it costs: while an index is made, PostgreSQL lets nobody write to the table, so sign-ins wait, and those that wait for longer than
`lock_timeout` are answered 503. With many events, take a quiet hour. Afterwards every event is written to these indexes too, and the
table takes more room. The previous release runs beside it.
"""

from django.db import migrations, models


def _index(name: str, *fields: str, condition: models.Q | None = None) -> migrations.AddIndex:
    return migrations.AddIndex("auditevent", models.Index(fields=list(fields), name=name, condition=condition))


class Migration(migrations.Migration):
    dependencies = [("accounts", "0009_each_act_has_a_permission_of_its_own")]

    operations = [
        _index("audit_event", "event", "at"),
        _index("audit_address", "address", "at", condition=models.Q(address__isnull=False)),
        _index("audit_actor", "actor_id", "at", condition=models.Q(actor_id__isnull=False)),
        _index("audit_target", "target", "at", condition=~models.Q(target="")),
        _index("audit_client", "client_id", "at", condition=~models.Q(client_id="")),
        _index("audit_error_id", "error_id", condition=~models.Q(error_id="")),
    ]
