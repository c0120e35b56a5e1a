"""Encrypt the private signing keys anew."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import encryption
from oauth import key_rotation


class Command(BaseCommand):
    help = (
        "Encrypt every private signing key under the first of AUTH_SERVICE__KEY_ENCRYPTION_KEYS, so that the others can be taken away. "
        "Run it when every server has the new key in front. Running it again changes nothing."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            changed, of = key_rotation.reencrypt()
        except encryption.Undecryptable as error:
            raise CommandError(f"{error} Nothing was changed.") from error
        self.stdout.write(f"{changed} of {of} private keys encrypted anew. All of them open with the first encryption key.")
