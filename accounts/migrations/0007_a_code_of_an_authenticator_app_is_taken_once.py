"""Which time step's code was taken last, per user; every row begins with none, and the previous release goes on beside it."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0006_accounts_await_their_confirmation")]

    operations = [
        migrations.AddField(
            model_name="user",
            name="last_totp_step",
            field=models.PositiveBigIntegerField(
                db_default=0, default=0, editable=False, help_text="the time step of the last code of an authenticator app that was taken"
            ),
        ),
    ]
