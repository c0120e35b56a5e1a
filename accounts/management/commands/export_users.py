"""Write all users to a file."""

import os
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import bulk
from accounts.progress import Progress


class Command(BaseCommand):
    help = "Export all users as JSON lines, which import_users reads. The file is new and for its owner alone to read."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", nargs="?", default="-", help="a file that is not there yet; standard output when not given")
        parser.add_argument("--with-password-hashes", action="store_true", help="so that people can sign in where the users go")

    def handle(self, *args: Any, **options: Any) -> None:
        path, with_hashes = options["file"], options["with_password_hashes"]
        if path == "-":
            # SECURITY: a terminal keeps what it shows.
            if with_hashes and self.stdout.isatty():
                raise CommandError("Password hashes are not shown on a terminal: name a file, or send the output on.")
            count = self._export(self.stdout.write, with_hashes=with_hashes)
        else:
            count = self._export_to(Path(path), with_hashes=with_hashes)
        self.stderr.write(f"{count:,} users exported", self.style.SUCCESS)

    def _export_to(self, path: Path, *, with_hashes: bool) -> int:
        """Raises CommandError. A file that was not finished is removed."""
        try:
            # SECURITY: made for its owner alone, and never one that others have open already.
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise CommandError(f"{path} cannot be made: {error.strerror}.") from None
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
                return self._export(lambda line: file.write(f"{line}\n"), with_hashes=with_hashes)
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def _export(self, write: Callable[[str], object], *, with_hashes: bool) -> int:
        progress = Progress(sys.stderr, label="exporting", total=bulk.count_exported())
        count = 0
        for count, line in enumerate(bulk.export(with_hashes=with_hashes), start=1):
            write(line)
            progress.show(count)
        progress.clear()
        bulk.record_export(count=count, with_hashes=with_hashes)
        return count
