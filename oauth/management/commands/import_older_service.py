"""Move in from the older service."""

import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from accounts import clock
from accounts.actors import at_the_console
from accounts.progress import Progress, bars
from oauth import key_pairs
from oauth.older_service import database, move
from oauth.older_service.move import Report, Selection

OLDER_KID = "2024-01-key-1"


class Command(BaseCommand):
    help = (
        "Bring in the users, clients and live refresh tokens of the older service, and let its key sign, so that nobody has to sign in "
        "again. Run it as often as you like: what is here stays, and what has changed there since the last run is taken over."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--db", required=True, metavar="URL", help="its database: sqlite:////srv/older/auth.db or postgresql://…; only read"
        )
        parser.add_argument("--key", required=True, type=Path, metavar="PEM", help="the file with its private key")
        parser.add_argument("--kid", default=OLDER_KID, help=f"the kid of that key, {OLDER_KID} when not given")
        parser.add_argument("--dry-run", action="store_true", help="do all of it, say what came of it, and take it back")
        parser.add_argument(
            "--without-user", action="append", default=[], metavar="ID", help="leave this user out; may be given several times"
        )
        parser.add_argument("--without-client", action="append", default=[], metavar="CLIENT_ID", help="leave this client out; likewise")
        parser.add_argument("--wait", action="store_true", help="end when the older key signs, so that a script can point the proxy here")

    def handle(self, *args: Any, **options: Any) -> None:
        selection = Selection({text.lower() for text in options["without_user"]}, {*options["without_client"]})
        started = time.monotonic()
        with self._failures_told(options["key"]), database.opened(options["db"]) as older, bars(sys.stderr) as begin:
            report = move.run(
                older,
                pem=options["key"],
                kid=options["kid"],
                selection=selection,
                is_dry=options["dry_run"],
                actor=at_the_console(),
                begin=begin,
            )
        self._sum_up(report, is_dry=options["dry_run"], seconds=time.monotonic() - started)
        if options["wait"] and not options["dry_run"]:
            _wait_until_it_signs(report)

    @contextmanager
    def _failures_told(self, pem: Path) -> Iterator[None]:
        try:
            yield
        except move.NothingDone as error:
            for problem in error.problems:
                self.stderr.write(problem)
            raise CommandError(
                "Nothing was brought in: mend the above there, or leave it out (--without-user, --without-client)."
            ) from None
        except key_pairs.NotUsable as error:
            raise CommandError(f"Nothing was brought in: --key names {pem}, but {error}.") from None
        except database.NotReadable as error:
            raise CommandError(f"Nothing was brought in: of the database of --db, {error}.") from None
        except DatabaseError as error:
            raise CommandError(f"Nothing was brought in: {str(error).strip().splitlines()[0]}") from error

    def _sum_up(self, report: Report, *, is_dry: bool, seconds: float) -> None:
        if is_dry:
            self.stdout.write("This is what would be done; nothing was.")
        elif not report.has_changed_anything():
            self.stdout.write("There was nothing to do.")
        rows = {
            "users brought in": report.users.created,
            "users here already": report.users.unchanged,
            "passwords renewed": report.hashes_renewed,
            "users disabled": report.users_disabled,
            "sessions opened": report.sessions.opened,
            "sessions here already": report.sessions.there,
            "sessions ended": report.sessions.ended,
        } | {f"left out, {reason}": number for reason, number in sorted(report.sessions.left_out.items())}
        for name, number in rows.items():
            self.stdout.write(f"{name:<46} {number:,}")
        for outcome in report.clients:
            self.stdout.write(f"client {outcome}")
        self.stdout.write(f"{'time':<46} {seconds:.1f} s")
        self.stdout.write(f"issuer {settings.JWT_ISSUER}, audience {settings.JWT_AUDIENCE}: both have to be the older service's.")
        when = "signs" if report.signs_from <= clock.now() else f"signs from {report.signs_from:%Y-%m-%d %H:%M:%S} UTC"
        self.stdout.write(f"key {report.kid}: {when}. Point the proxy here when it does.")


def _wait_until_it_signs(report: Report) -> None:
    total = int((report.signs_from - clock.now()).total_seconds()) + 1
    progress = Progress(sys.stderr, label="until the older key signs", total=max(0, total))
    while (left := (report.signs_from - clock.now()).total_seconds()) > 0:
        progress.show(total - int(left) - 1)
        time.sleep(min(left, 1.0))
    progress.clear()
