"""Encrypt the private signing keys, and what else is encrypted beside them, anew."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from accounts import encryption, second_factors
from oauth import key_rotation


class Command(BaseCommand):
    help = (
        "Encrypt every private signing key, and the seeds of second factors, under the first of AUTH_SERVICE__KEY_ENCRYPTION_KEYS, "
        "so that the others can be taken away. "
        "Run it when every server has the new key in front. Running it again changes nothing."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with transaction.atomic():
                keys, of_keys = key_rotation.reencrypt()
                seeds, of_seeds = second_factors.reencrypt()
        except encryption.Undecryptable as error:
            raise CommandError(f"{error} Nothing was changed.") from error
        self.stdout.write(f"{keys} of {of_keys} private keys encrypted anew, and {seeds} of {of_seeds} seeds of second factors.")
        self.stdout.write("All of them open with the first encryption key.")
