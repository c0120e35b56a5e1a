"""Print the audit as JSON lines."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from accounts.audit_lines import as_json, line
from accounts.audit_retention import between
from accounts.command_line import instant

CHUNK = 2000


class Command(BaseCommand):
    help = "Print audit events as JSON, one a line, oldest first, to be kept outside of the database or searched with other tools."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--since", type=instant, metavar="TIME", help="from this instant on, such as 2026-01-31 or 2026-01-31T12:00:00Z"
        )
        parser.add_argument("--until", type=instant, metavar="TIME", help="before this instant")
        parser.add_argument("--after-id", type=int, metavar="ID", help="only events after this one: the last line's id continues an export")

    def handle(self, *args: Any, **options: Any) -> None:
        events = between(options["since"], options["until"])
        if options["after_id"] is not None:
            events = events.filter(pk__gt=options["after_id"])
        for event in events.iterator(chunk_size=CHUNK):
            self.stdout.write(as_json(line(event)))
