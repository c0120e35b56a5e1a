"""A key signs until the next one does, so that is stored no more; it knows how long its tokens live; answers of the key set are counted.

Keys made before are taken to have signed tokens of the longest lifetime there is, a day.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("oauth", "0003_audiences_that_a_client_serves"),
    ]

    operations = [
        migrations.CreateModel(
            name="KeySetUse",
            fields=[
                ("hour", models.DateTimeField(primary_key=True, serialize=False)),
                ("answered_200", models.PositiveBigIntegerField()),
                ("answered_304", models.PositiveBigIntegerField()),
            ],
            options={"default_permissions": ()},
        ),
        migrations.AlterModelOptions(
            name="signingkey",
            options={
                "ordering": ("sequence",),
                "permissions": (
                    ("rotate_signing_key", "Can let the next signing key sign"),
                    ("revoke_signing_key", "Can revoke a signing key"),
                ),
            },
        ),
        migrations.RemoveField(model_name="signingkey", name="removed_at"),
        migrations.RemoveField(model_name="signingkey", name="signs_until"),
        migrations.AddField(
            model_name="signingkey",
            name="longest_lifetime",
            field=models.PositiveIntegerField(db_default=86400, help_text="seconds; no token that it signs lives longer"),
        ),
        migrations.AlterField(
            model_name="signingkey",
            name="private_key",
            field=models.TextField(blank=True, editable=False, help_text="encrypted; erased when retired or revoked"),
        ),
        migrations.AlterField(
            model_name="signingkey",
            name="signs_from",
            field=models.DateTimeField(null=True, help_text="empty: when rotation is due"),
        ),
    ]
