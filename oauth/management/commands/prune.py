"""Remove what is past its time."""

from argparse import ArgumentParser
from collections.abc import Iterable
from datetime import timedelta
from itertools import groupby
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from oauth import housekeeping
from oauth.http import STORE_DOWN

MAX_KEEP_DAYS = 3650
PROGRESS_EVERY = 100_000


class Command(BaseCommand):
    help = (
        "Remove what is past its time: sessions that expired long ago, refusals, counters of sign-ins, audit events, one-time codes, "
        "authorization codes, device codes and browser sessions. A serving server does so by itself, once a day; this does it now, beside "
        "it, in small batches. Stop it when you like; the next run goes on."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--keep-days",
            type=int,
            default=housekeeping.KEEP_SESSIONS.days,
            metavar="DAYS",
            help="how long a session is kept after it has expired, revoked or not, for staff to look at (default: 30)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not 0 <= options["keep_days"] <= MAX_KEEP_DAYS:
            raise CommandError(f"--keep-days takes 0 to {MAX_KEEP_DAYS}.")
        try:
            _limit_statements()
            batches = housekeeping.batches(keep_sessions=timedelta(days=options["keep_days"]))
            for kind, of_kind in groupby(batches, key=lambda batch: batch.kind):
                self._follow(kind, of_kind)
        except STORE_DOWN as error:
            raise CommandError(
                f"The database did not answer in time ({type(error).__name__}). What was removed stays so; run it again."
            ) from error

    def _follow(self, kind: str, batches: Iterable[housekeeping.Batch]) -> None:
        looked_at = removed = 0
        for batch in batches:
            looked_at, removed = looked_at + batch.looked_at, removed + batch.removed
            if looked_at // PROGRESS_EVERY > (looked_at - batch.looked_at) // PROGRESS_EVERY:
                self.stdout.write(f"  {looked_at} {kind} looked at, {removed} removed")
        if kind == housekeeping.HOURS:
            self.stdout.write(f"{kind}: {removed}")
        else:
            self.stdout.write(f"{kind:<20} {removed} removed" + (f" of {looked_at}" if kind == housekeeping.SESSIONS else ""))


def _limit_statements() -> None:
    """None of ours is to hold a serving process up for long. SQLite has no such limits."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            for name, limit in (("lock_timeout", "1s"), ("statement_timeout", "10s")):
                # One of the role stays: behind a pooler the connection is somebody else's afterwards, with all that is set on it.
                cursor.execute("SELECT set_config(%s, %s, false) WHERE current_setting(%s) = '0'", [name, limit, name])
