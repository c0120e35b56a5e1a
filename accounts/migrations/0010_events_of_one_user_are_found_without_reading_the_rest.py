"""An index of what events were about, newest last, for the events on the page of a user.

On a large table run it while little happens: it holds up writes to the table until it is made."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0009_each_act_has_a_permission_of_its_own")]

    operations = [
        migrations.AddIndex(model_name="auditevent", index=models.Index(fields=["target", "id"], name="audit_target")),
    ]
