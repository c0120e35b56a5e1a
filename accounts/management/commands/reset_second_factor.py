"""Let somebody in again who has lost their authenticator app, passkeys and recovery codes."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import second_factors
from accounts.actors import Actor
from accounts.models import User

NOBODY = Actor(actor_id=None, address=None, user_agent="manage.py")


class Command(BaseCommand):
    help = "Take every second factor from a user and end their sessions. They sign in with the password and enrol another one."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("user", help="user name or e-mail address")
        parser.add_argument("--reason", required=True, help="why; it goes into the audit log")

    def handle(self, *args: Any, **options: Any) -> None:
        reason = options["reason"].strip()
        if not reason:
            raise CommandError("--reason must say why: it is all that the audit log will know.")
        try:
            user = User.objects.get_by_natural_key(options["user"])
        except User.DoesNotExist:
            raise CommandError(f"There is no user {options['user']!r}.") from None
        removed = second_factors.reset(user, actor=NOBODY, reason=reason)
        if not removed:
            self.stdout.write(f"{user} had no second factor. Every session of theirs was ended.")
            return
        kinds = ", ".join(f"{kind.replace('_', ' ')} ({count})" for kind, count in removed.items())
        self.stdout.write(f"Taken from {user}: {kinds}. Every session of theirs was ended.")
        self.stdout.write("The password stays as it is. At the next sign-in they are asked to enrol a second factor.")
