"""A registered account is of no use until its e-mail address is confirmed."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0005_audit_is_append_only"),
    ]

    operations = [
        migrations.AddField(
            model_name="user",
            name="awaits_confirmation",
            field=models.BooleanField(
                db_default=False,
                default=False,
                editable=False,
                help_text="Registered, and the e-mail address is not confirmed.",
                verbose_name="awaits confirmation",
            ),
        ),
    ]
