"""Show the schedule of the signing keys."""

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand

from accounts import clock
from oauth import key_report, key_rows, key_set_use
from oauth.key_text import schedule_text, use_text


class Command(BaseCommand):
    help = (
        "Show the signing keys: which are published, which signs, and what happens next by itself. "
        "Nothing is changed; rotate_signing_key does that."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="the same for programs: an array of the keys, instants in ISO 8601")

    def handle(self, *args: Any, **options: Any) -> None:
        schedule, now = key_rows.current(), clock.database_now()
        if options["json"]:
            lines = [asdict(line) for line in key_report.lines(schedule, now=now)]
            self.stdout.write(json.dumps(lines, indent=2, default=lambda instant: instant.isoformat(timespec="seconds")))
            return
        self.stdout.write(schedule_text(schedule, now=now))
        self.stdout.write("")
        self.stdout.write(use_text(key_set_use.recent(hours=3)))
