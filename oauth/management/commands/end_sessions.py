"""End all sessions of a client, or of everybody."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.actors import at_the_console
from oauth import session_ending
from oauth.models import Client


class Command(BaseCommand):
    help = (
        "End all sessions of a client, or of everybody: their refresh tokens work no more, and this server refuses their access tokens. "
        "People can sign in again at once; sessions of the admin go on."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        whose = parser.add_mutually_exclusive_group(required=True)
        whose.add_argument("--client", metavar="CLIENT_ID", help="of this client")
        whose.add_argument("--everybody", action="store_true", help="of all clients")
        parser.add_argument("--reason", required=True, help="why, for the audit")
        parser.add_argument("--dry-run", action="store_true", help="tell how many there are, and end none")

    def handle(self, *args: Any, **options: Any) -> None:
        client = None
        if options["client"] is not None:
            client = Client.objects.filter(client_id=options["client"]).first()
            if client is None:
                raise CommandError(f"There is no client {options['client']}.")
        if not options["reason"].strip():
            raise CommandError("Say why with --reason: it goes into the audit.")
        found = session_ending.preview(client=client)
        about = "" if found.is_exact else "at least " if client is not None else "about "
        self.stdout.write(f"{about}{found.count} sessions go on.")
        if options["dry_run"]:
            self.stdout.write("Nothing was changed.")
            return
        for so_far in session_ending.progress(client=client, actor=at_the_console(), reason=options["reason"]):
            self.stdout.write(f"Done: {so_far.count} ended." if so_far.is_complete else f"{so_far.count} ended so far")
