"""Attempts to sign in are counted for each name and source."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0003_mail_and_one_time_tokens"),
    ]

    operations = [
        migrations.CreateModel(
            name="LoginCounter",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("digest", models.BinaryField(max_length=32)),
                ("source", models.CharField(max_length=45)),
                ("user_id", models.UUIDField(help_text="whose name it is, if anyone's", null=True)),
                ("failures", models.PositiveIntegerField(default=0)),
                ("window_started_at", models.DateTimeField(null=True)),
                ("in_flight", models.JSONField(default=dict)),
                ("locked_until", models.DateTimeField(null=True)),
                ("last_success_at", models.DateTimeField(null=True)),
                (
                    "lane_failures",
                    models.PositiveIntegerField(default=0, help_text="in the 30 days from lane_started_at, whatever succeeded in between"),
                ),
                ("lane_started_at", models.DateTimeField(null=True)),
                ("unrecorded", models.PositiveIntegerField(default=0, help_text="failures since the last audit event")),
                ("to_record", models.PositiveIntegerField(default=0, help_text="failures that the last statement gave to the audit")),
                ("recorded_at", models.DateTimeField(null=True)),
                ("used_at", models.DateTimeField(db_index=True)),
            ],
            options={
                "verbose_name": "lockout",
                "permissions": (("unlock_user", "Can lift a lock"),),
                "constraints": [models.UniqueConstraint(fields=("digest", "source"), name="login_counter_lane")],
            },
        ),
    ]
