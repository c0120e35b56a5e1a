"""A client names the audiences it answers for; ending a session has a permission of its own."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("oauth", "0002_sessions_update_in_place"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="session",
            options={"permissions": (("revoke_session", "Can end a session"),)},
        ),
        migrations.AddField(
            model_name="client",
            name="served_audiences",
            field=models.TextField(
                blank=True,
                db_default="",
                help_text="Audiences it answers for, parted by spaces: it may ask about tokens meant for them. Empty: the server's.",
            ),
        ),
    ]
