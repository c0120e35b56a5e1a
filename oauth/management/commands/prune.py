"""Remove what is past its time."""

import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from accounts import audit_retention, audit_tally, browser_sessions, lockout, one_time_tokens, refusals, registration
from oauth import authorization_codes, device_codes, key_set_use, session_pruning
from oauth.http import STORE_DOWN

MAX_KEEP_DAYS = 3650
PAUSE_SECONDS = 0.01
PROGRESS_EVERY = 100_000

BATCHES: dict[str, Callable[[], int]] = {
    "refusals": refusals.prune,
    "login counters": lockout.prune,
    "sign-ins by the hour": audit_tally.prune,
    "audit events": audit_retention.prune,
    "one-time codes": one_time_tokens.prune,
    "browser sessions": browser_sessions.prune,
    "device codes": device_codes.prune,
    "unconfirmed users": registration.prune,
    "authorization codes": authorization_codes.prune,
    "key-set counts": key_set_use.prune,
}


class Command(BaseCommand):
    help = (
        "Remove what is past its time: sessions that expired long ago, refusals, counters of sign-ins, audit events, one-time codes, "
        "authorization codes, device codes and browser sessions. Run it daily, beside the serving server: it works in small batches. "
        "Stop it when you like; the next run goes on."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--keep-days",
            type=int,
            default=30,
            metavar="DAYS",
            help="how long a session is kept after it has expired, revoked or not, for staff to look at (default: 30)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not 0 <= options["keep_days"] <= MAX_KEEP_DAYS:
            raise CommandError(f"--keep-days takes 0 to {MAX_KEEP_DAYS}.")
        try:
            _limit_statements()
            # Before the events go that they are counted from.
            self.stdout.write(f"hours whose sign-ins were counted: {sum(_until_none_is_left(audit_tally.close_hours))}")
            self._prune_sessions(timedelta(days=options["keep_days"]))
            for name, prune in BATCHES.items():
                self._report(name, sum(_until_none_is_left(prune)))
        except STORE_DOWN as error:
            raise CommandError(
                f"The database did not answer in time ({type(error).__name__}). What was removed stays so; run it again."
            ) from error

    def _prune_sessions(self, keep: timedelta) -> None:
        looked_at = removed = 0
        for batch in session_pruning.prune(keep=keep):
            looked_at, removed = looked_at + batch.looked_at, removed + batch.removed
            if looked_at // PROGRESS_EVERY > (looked_at - batch.looked_at) // PROGRESS_EVERY:
                self.stdout.write(f"  {looked_at} sessions looked at, {removed} removed")
            if batch.removed:
                time.sleep(PAUSE_SECONDS)  # others write too
        self._report("sessions", removed, f" of {looked_at}")

    def _report(self, name: str, removed: int, of_how_many: str = "") -> None:
        self.stdout.write(f"{name:<20} {removed} removed{of_how_many}")


def _until_none_is_left(prune: Callable[[], int]) -> Iterator[int]:
    while removed := prune():
        yield removed
        time.sleep(PAUSE_SECONDS)


def _limit_statements() -> None:
    """None of ours is to hold a serving process up for long. SQLite has no such limits."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '1s'; SET statement_timeout = '10s'")
