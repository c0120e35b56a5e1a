"""An index of the lanes that were ever locked, for the number beside "Lockouts" on every page of the admin.

The table is pruned and small, so an ordinary CREATE INDEX is soon done.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0007_a_code_of_an_authenticator_app_is_taken_once")]

    operations = [
        migrations.AddIndex(
            model_name="logincounter",
            index=models.Index(condition=models.Q(("locked_until__isnull", False)), fields=["locked_until"], name="login_counter_locked"),
        ),
    ]
