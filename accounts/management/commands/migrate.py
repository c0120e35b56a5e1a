"""Django's `migrate`, which on PostgreSQL never stands in the way of requests.

A change of a table waits for whoever reads it, and everybody after it waits for the change. So it waits for a fifth of a second at
most, lets the others pass, and tries again.
"""

import time
from argparse import ArgumentParser
from contextlib import suppress
from typing import Any

from django.core.management.base import CommandError
from django.core.management.commands import migrate
from django.db import DatabaseError, InterfaceError, OperationalError, connections
from psycopg.errors import LockNotAvailable

LOCK_TIMEOUT_MILLISECONDS = 200
PAUSE_SECONDS = 2

# A limit of the role that is short enough stays: behind a pooler the connection is somebody else's afterwards, with all that is set on it.
_LIMIT_SQL = """
    SELECT set_config(name, %s, false) FROM pg_settings WHERE name = 'lock_timeout' AND setting::int NOT BETWEEN 1 AND 1000
"""


class Command(migrate.Command):
    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)  # type: ignore[arg-type] # Django's is a parser of its own
        parser.add_argument("--wait", type=int, default=600, metavar="SECONDS", help="how long to go on while a table is in use; 600")

    def handle(self, *args: Any, **options: Any) -> None:
        connection = connections[options["database"]]
        if connection.vendor != "postgresql":
            super().handle(*args, **options)
            return
        give_up_at = time.monotonic() + options["wait"]
        try:
            while not self._is_done(connection, *args, **options):
                if time.monotonic() > give_up_at:
                    raise CommandError(
                        f"A transaction has held a table for {options['wait']} seconds. What was migrated stays so; "
                        "end that transaction (pg_stat_activity names it), and run this again."
                    )
                self.stdout.write("\nA transaction holds this table. Trying again.")
                time.sleep(PAUSE_SECONDS)
        finally:
            with suppress(DatabaseError, InterfaceError), connection.cursor() as cursor:  # it may be gone: what ended it is told
                cursor.execute("RESET lock_timeout")

    def _is_done(self, connection: Any, *args: Any, **options: Any) -> bool:
        """False when a lock was waited for too long; the migration that needed it was rolled back."""
        with connection.cursor() as cursor:
            cursor.execute(_LIMIT_SQL, [str(LOCK_TIMEOUT_MILLISECONDS)])
        try:
            super().handle(*args, **options)
        except OperationalError as error:
            if isinstance(error.__cause__, LockNotAvailable):
                return False
            raise
        return True
