"""Bring users in from a file."""

import shutil
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand, CommandError

from accounts import bulk
from accounts.bulk import Counts
from accounts.progress import Progress


class Command(BaseCommand):
    help = (
        "Import users from a file of JSON lines, with the password hashes of other systems. The file is checked first; with a bad "
        "line nothing is imported. Users who exist are left as they are, so the same file can be imported again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", help="one user a line, as export_users writes them; - for standard input")
        parser.add_argument("--dry-run", action="store_true", help="check the file, say what would be done, and do nothing")
        parser.add_argument("--skip-bad", action="store_true", help="import the good lines, although there are bad ones")
        parser.add_argument("--update", action="store_true", help="users who exist follow the file")
        parser.add_argument("--allow-staff", action="store_true", help="also make staff and superusers, and update them")

    def handle(self, *args: Any, **options: Any) -> None:
        rules = {"update": options["update"], "allow_staff": options["allow_staff"]}
        started = time.monotonic()
        with _opened(options["file"]) as file:
            total = _count_lines(file)
            counts = self._check(file, total=total, rules=rules)
            if counts.bad and not options["skip_bad"]:
                raise CommandError(f"Nothing was imported: {counts.bad:,} of {counts.lines:,} lines are bad.")
            writes = not options["dry_run"] and (counts.created or counts.updated)
            if writes:
                counts = self._write(file, total=total, rules=rules, skip_bad=options["skip_bad"])
        self._sum_up(counts, is_dry=options["dry_run"], seconds=time.monotonic() - started)

    def _check(self, file: BinaryIO, *, total: int, rules: dict[str, bool]) -> Counts:
        progress = Progress(sys.stderr, label="checking", total=total)

        def refuse(number: int, reason: str) -> None:
            progress.clear()
            self.stderr.write(f"line {number}: {reason}")

        counts = bulk.check(file, **rules, refuse=refuse, progress=progress.show)
        progress.clear()
        return counts

    def _write(self, file: BinaryIO, *, total: int, rules: dict[str, bool], skip_bad: bool) -> Counts:
        progress = Progress(sys.stderr, label="writing ", total=total)
        try:
            return bulk.write(file, **rules, skip_bad=skip_bad, progress=progress.show)
        except bulk.Overtaken as error:
            raise CommandError(f"Nothing was imported: {error}. Run it again.") from error
        finally:
            progress.clear()

    def _sum_up(self, counts: Counts, *, is_dry: bool, seconds: float) -> None:
        if is_dry:
            self.stdout.write("This is what would be done; nothing was.")
        elif not counts.created and not counts.updated:
            self.stdout.write("There was nothing to do.")
        rows = {
            "lines": f"{counts.lines:,}",
            "created": f"{counts.created:,}",
            "updated": f"{counts.updated:,}",
            "unchanged": f"{counts.unchanged:,}",
            "bad, left out": f"{counts.bad:,}",
            "roles made": f"{counts.roles_created:,}",
            "staff made": f"{counts.staff:,}",
            "made without a password": f"{counts.without_password:,}",
            "time": f"{seconds:.1f} s",
        }
        for name, value in rows.items():
            self.stdout.write(f"{name:<24} {value}")


@contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    """The file, or a private copy of what can be read only once. Raises CommandError."""
    if path == "-":
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(sys.stdin.buffer, copy)
            yield copy
        return
    try:
        file = open(path, "rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}.") from None
    with file:
        if file.seekable():
            yield file
            return
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(file, copy)
            yield copy


def _count_lines(file: BinaryIO) -> int:
    file.seek(0)
    return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
