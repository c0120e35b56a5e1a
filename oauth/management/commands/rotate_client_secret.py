"""Give a client a new secret."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.actors import at_the_console
from oauth import clients
from oauth.models import Client

MAX_KEEP_SECONDS = 30 * 86400


class Command(BaseCommand):
    help = "Give a confidential client a new secret, printed once. The old one works on for a while, so that nothing breaks."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("client_id")
        parser.add_argument(
            "--keep-old-for",
            type=int,
            default=86400,
            metavar="SECONDS",
            help="how long the old secret works on; 0 stops it now (default: a day)",
        )
        parser.add_argument("--reason", default="", help="why, for the audit")

    def handle(self, *args: Any, **options: Any) -> None:
        client = Client.objects.filter(client_id=options["client_id"]).first()
        if client is None:
            raise CommandError(f"There is no client {options['client_id']}.")
        if client.is_public:
            raise CommandError(f"{client.client_id} is a public client and has no secret.")
        if not 0 <= options["keep_old_for"] <= MAX_KEEP_SECONDS:
            raise CommandError(f"--keep-old-for takes 0 to {MAX_KEEP_SECONDS} seconds (30 days).")
        try:
            made = clients.rotate_secret(
                client, keep_old_for=timedelta(seconds=options["keep_old_for"]), actor=at_the_console(), reason=options["reason"]
            )
        except clients.SecretChanged as error:
            raise CommandError("The secret was changed just now by somebody else. Nothing was changed.") from error
        self.stdout.write(f"client_secret  {made.secret_value}   (shown once)")
