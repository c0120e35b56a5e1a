"""Give a user another password at the console, on record and by the policy.

Django's `changepassword` writes back the whole user as they were before somebody began to type.
"""

from argparse import ArgumentParser
from getpass import getpass
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from accounts import audit, passwords
from accounts.actors import at_the_console
from accounts.models import User


class Command(BaseCommand):
    help = "Ask for another password for a user, twice. All their sessions end, and no code that was sent to them is taken."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("user", help="user name or e-mail address")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            user = User.objects.get_by_natural_key(options["user"])
        except User.DoesNotExist:
            raise CommandError(f"There is no user {options['user']!r}.") from None
        chosen, again = getpass(f"New password of {user}: "), getpass("Again: ")
        if chosen != again:
            raise CommandError("These are two different ones. Nothing was changed.")
        try:
            passwords.ensure_allowed(chosen, user=user)
        except passwords.Refused as error:
            raise CommandError(" ".join(["Nothing was changed.", *error.reasons])) from None
        user.password = passwords.encode(chosen)
        with transaction.atomic():
            passwords.store(user)
            audit.record("user:password:changed", target=user.pk, detail={"by": "console"}, **at_the_console())
        self.stdout.write(f"{user} has another password. Every session of theirs was ended.")
