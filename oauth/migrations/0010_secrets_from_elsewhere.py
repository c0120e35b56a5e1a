from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("oauth", "0009_devices_that_wait"),
    ]

    operations = [
        migrations.AddField(
            model_name="client",
            name="foreign_secret_hash",
            field=models.CharField(
                blank=True,
                db_default="",
                editable=False,
                help_text="bcrypt, of the service it came from, until it shows the secret",
                max_length=128,
            ),
        ),
    ]
