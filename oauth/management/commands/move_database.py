"""Move everything to another database."""

import sys
import time
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from accounts.progress import bars
from oauth.database_move import databases, move
from oauth.database_move.move import Report, Tally


class Command(BaseCommand):
    help = (
        "Move everything from the database of AUTH_SERVICE__DB_URL to an empty one, such as from SQLite to PostgreSQL. Stop the server "
        "first. It is kept when both databases read alike, or not at all; the old one stays as it is."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--to", required=True, metavar="URL", help="the new database: postgresql://user@host/name")
        parser.add_argument("--dry-run", action="store_true", help="read and check everything, tell what would be moved, and move nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        source = dict(settings.DATABASES["default"])
        connections["default"].close()  # or this process itself would count as somebody who uses it
        started = time.monotonic()
        try:
            to = databases.settings_of(options["to"])
        except databases.NotUsable as error:
            raise CommandError(f"Nothing was moved. Of --to, {error}.") from None
        self.stdout.write(f"from  {databases.name_of(source)}\nto    {databases.name_of(to)}\n\n")
        try:
            with bars(sys.stderr) as begin:
                report = move.run(source=source, to=to, is_dry=options["dry_run"], begin=begin)
        except move.Different as different:
            self._print_table(different.report)
            raise CommandError(f"Nothing was moved: {different}, in {', '.join(different.report.differences)}.") from None
        except move.NothingMoved as error:
            raise CommandError(f"Nothing was moved. {error}") from error
        self._print_table(report)
        self._sum_up(report, is_dry=options["dry_run"], seconds=time.monotonic() - started)

    def _print_table(self, report: Report) -> None:
        """Of tables without rows there is one line together."""
        differences = report.differences if report.target else []
        empty = [name for name, tally in report.source.items() if not tally.rows and name not in differences]
        width = max(map(len, report.source))
        self.stdout.write(f"{'table':<{width}}  {'rows':>10}  digest of all rows")
        for name, tally in report.source.items():
            if name in empty:
                continue
            self.stdout.write(f"{name:<{width}}  {tally.rows:>10,}  {tally.digest[:16]}{self._verdict(report, name)}")
        self.stdout.write(f"{f'{len(empty)} tables without rows':<{width}}  {0:>10}")

    def _verdict(self, report: Report, name: str) -> str:
        if not report.target:
            return ""
        if name not in report.differences:
            return "  same"
        back = report.target.get(name, Tally())
        return f"  DIFFERENT: read back {back.rows:,} rows, {back.digest[:16]}"

    def _sum_up(self, report: Report, *, is_dry: bool, seconds: float) -> None:
        total = sum(tally.rows for tally in report.source.values())
        self.stdout.write("")
        for name in report.not_moved:
            self.stdout.write(f"Left behind, because no app of this server has it: the table {name}.")
        if is_dry:
            self.stdout.write(f"This is what would be moved, {total:,} rows; nothing was. All of it was read, in {seconds:.1f} s.")
            return
        self.stdout.write(f"Moved {total:,} rows in {seconds:.1f} s. Both databases read alike.")
        self.stdout.write("Lead AUTH_SERVICE__DB_URL to the new one, leave all other settings as they are, and start the server.")
