"""Revoke again what a database has forgotten that was restored from a backup."""

import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TextIO

from django.core.management.base import BaseCommand, CommandError

from accounts import clock, encryption
from accounts.actors import at_the_console
from accounts.command_line import instant
from accounts.models import User
from oauth import key_rotation
from oauth.restored import done, forgotten, replay
from oauth.restored.forgotten import Forgotten
from oauth.restored.lines import NotAnExport

MOST_LINES = 50


class Command(BaseCommand):
    help = (
        "After the database was restored from a backup: revoke again what was revoked since, as an export of the audit log tells it. "
        "Without an export all sessions end that the backup brought back. Run it before the server serves; it may be run again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--backup-time",
            required=True,
            type=instant,
            metavar="TIME",
            help="when the backup was begun, such as 2026-01-31T12:00:00Z; rather too early than too late",
        )
        parser.add_argument(
            "--audit", metavar="FILE", help="what audit_export printed, from the backup on; - for standard input; not given: it is lost"
        )
        parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        backup_at, is_dry = options["backup_time"], options["dry_run"]
        if backup_at > clock.database_now():
            raise CommandError(f"--backup-time {backup_at.isoformat()} has not come yet by the clock of the database.")
        found = self._read(options["audit"], since=backup_at) if options["audit"] else None
        try:
            key_rotation.ensure_opens()
        except encryption.Undecryptable as error:
            raise CommandError(str(error)) from None
        run = replay.begin(backup_at, is_dry=is_dry, source="none" if found is None else "audit", actor=at_the_console())
        counts = {}
        for what, count in replay.without_export(run) if found is None else replay.from_export(run, found):
            counts[what] = count
            self.stdout.write(f"{what:<42} {count:>9,}")
        if not is_dry:
            replay.finish(run, counts)
        self._say_what_is_left(found, is_dry=is_dry)

    def _read(self, path: str, *, since: datetime) -> Forgotten:
        try:
            with _opened(path) as export:
                found = forgotten.gather(export, since=since, known=replay.known, done=done.names())
        except OSError as error:
            raise CommandError(f"{path} cannot be read: {error.strerror}.") from None
        except UnicodeDecodeError:
            raise CommandError(f"{path} is not UTF-8.") from None
        except NotAnExport as error:
            raise CommandError(f"{path}: {error} Nothing was changed.") from None
        if found.began_at is None or found.ended_at is None:
            self.stdout.write(f"The export tells of nothing since {since.isoformat()}.")
        else:
            self.stdout.write(f"The export tells of {found.events:,} events, {found.began_at.isoformat()} to {found.ended_at.isoformat()}.")
            self.stdout.write("What was revoked after its last event is not known.")
        return found

    def _say_what_is_left(self, found: Forgotten | None, *, is_dry: bool) -> None:
        if is_dry:
            self.stdout.write("This is what would be done; nothing was.")
        if found is None:
            self.stdout.write(
                "Without an export nobody knows which users and clients were disabled since, which passwords, secrets, roles and second "
                "factors were taken away, which consents, and which signing keys were revoked. Do that again by hand."
            )
        elif found.by_hand:
            self.stdout.write("Look at these, and do by hand what took something away:")
            for line in found.by_hand[:MOST_LINES]:
                self.stdout.write(f"  {line}")
            if len(found.by_hand) > MOST_LINES:
                self.stdout.write(f"  and {len(found.by_hand) - MOST_LINES:,} more in the export")
        if not User.objects.filter(is_active=True, is_staff=True, is_superuser=True).exists():
            self.stdout.write("Nobody can do everything in the admin now: manage.py createsuperuser makes somebody who can.")


@contextmanager
def _opened(path: str) -> Iterator[TextIO]:
    if path == "-":
        yield sys.stdin
        return
    with open(path, encoding="utf-8") as file:
        yield file
