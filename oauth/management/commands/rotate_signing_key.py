"""Let the next signing key sign, or revoke one that has leaked."""

from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import clock, encryption
from accounts.actors import at_the_console
from oauth import key_rotation, key_rows
from oauth.key_schedule import State
from oauth.key_text import NOTHING_HERE, schedule_text

LEAKED = (
    "Services that verify tokens by themselves believe what is signed with a stolen key until they fetch the key set anew, "
    "after AUTH_SERVICE__JWKS_MAX_AGE at most. Restart them, or empty their caches, to end that at once."
)


class Command(BaseCommand):
    help = (
        "Let the standby sign as soon as every verifier knows it, which is at once when it was published long enough ago. "
        "Tokens of the key before it stay good. Rotation happens by itself too (AUTH_SERVICE__KEY_ROTATION_DAYS). "
        "With --emergency: revoke a key that others may have; its tokens are refused within a second, and nobody has to sign in anew."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--emergency", metavar="KID", help="revoke this key now; manage.py signing_keys lists them")
        parser.add_argument("--reason", default="", help="why, for the audit; required with --emergency")
        parser.add_argument("--dry-run", action="store_true", help="show the plan and change nothing")
        parser.add_argument(
            "--encryption-keys-are-lost",
            action="store_true",
            help="with --emergency, for keys that open with no encryption key any more; revoke each of them",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        now = clock.database_now()
        if not key_rows.current().places:
            raise CommandError(NOTHING_HERE)
        self.stdout.write(schedule_text(key_rows.current(), now=now))
        self.stdout.write("")
        try:
            if options["emergency"]:
                self._revoke(options["emergency"], now=now, options=options)
            else:
                self._rotate(now=now, options=options)
        except (key_rotation.Conflict, encryption.Undecryptable) as error:
            raise CommandError(str(error)) from error

    def _rotate(self, *, now: datetime, options: dict[str, Any]) -> None:
        schedule = key_rows.current()
        signing, standby = schedule.signer(now), schedule.standby(now)
        if signing is None or standby is None or standby is signing:
            raise CommandError("There is no standby to rotate to. Start a server, or run manage.py bootstrap: either makes it.")
        earliest = key_rotation.earliest(standby, now=now)
        self.stdout.write(f"Plan: {standby.key.kid} signs from {_utc(earliest)}, when every verifier knows it.")
        if options["dry_run"]:
            self.stdout.write("Nothing was changed.")
            return
        made = key_rotation.rotate(signer=signing.key.kid, actor=at_the_console(), reason=options["reason"])
        if not made.decided_now:
            self.stdout.write(f"That is decided already: {made.kid} signs from {_utc(made.signs_from)}. Nothing was changed.")
            return
        self.stdout.write(f"Done. {made.kid} signs from {_utc(made.signs_from)}.\n")
        self.stdout.write(schedule_text(key_rows.current(), now=clock.database_now()))

    def _revoke(self, kid: str, *, now: datetime, options: dict[str, Any]) -> None:
        if not options["reason"].strip():
            raise CommandError("Say why with --reason: it goes into the audit.")
        schedule = key_rows.current()
        place = next((place for place in schedule.places if place.key.kid == kid), None)
        if place is None:
            raise CommandError(f"There is no key {kid}. manage.py signing_keys lists them.")
        self.stdout.write(f"Plan: {kid}, which is {place.state(now)}, leaves the key set now, and this server refuses its tokens.")
        if place.state(now) is State.ACTIVE:
            self.stdout.write(
                "      The standby signs at once: verifiers know it. Refresh tokens stay good, so nobody has to sign in anew."
            )
        self.stdout.write(f"      {LEAKED}")
        if options["dry_run"]:
            self.stdout.write("Nothing was changed.")
            return
        key_rotation.revoke(
            kid, actor=at_the_console(), reason=options["reason"], encryption_keys_are_lost=options["encryption_keys_are_lost"]
        )
        self.stdout.write(f"Done. {kid} is revoked. Every process knows within a second.\n")
        self.stdout.write(schedule_text(key_rows.current(), now=clock.database_now()))


def _utc(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
