"""Refusals last alike while hashes of several kinds are stored, or the time would tell who has which, and who exists at all.

A wrong password costs 20 ms with Argon2id, 200 ms with an imported bcrypt, and the time of an unknown name is Argon2id's. The
difference is slept, not computed: a flood of guesses holds threads and no cores. A server whose hashes are all of its
own kind and cost sleeps nothing.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from django.contrib.auth.hashers import get_hasher, get_hashers_by_algorithm, identify_hasher
from django.db import DatabaseError, InterfaceError, connection, transaction

POLL_SECONDS = 300.0
READ_SECONDS = 65.0  # a little longer than PostgreSQL is told to read for
MARGIN = 2.0  # over what the slowest kind takes when nothing else runs

logger = logging.getLogger(__name__)


class Beat:
    """One attempt, from before anything is asked about its name."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._started = time.monotonic()

    def wait(self) -> None:
        """Sleep up to the next beat. Under load an attempt may miss the first one: it too ends on a beat."""
        if self._seconds:
            time.sleep(self._seconds - (time.monotonic() - self._started) % self._seconds)


class Pace:
    """This process's beat: longer than the slowest kind of hash that is stored takes, or 0 when there is one kind alone."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._measured: dict[str, float] = {}
        self._reading: Callable[[], AbstractContextManager[None]] = nullcontext

    def begin(self) -> Beat:
        """For whoever may have to wait, and has been admitted (hash_slots): who sleeps holds a thread, and one is left for all else."""
        return Beat(self.seconds)

    def reload(self) -> None:
        """Ask which kinds are stored, and measure those that are new."""
        own = get_hasher().encode("", get_hasher().salt())
        with self._reading():
            samples = _samples(own)
        self.seconds = MARGIN * max(map(self._measure, [own, *samples])) if samples else 0.0

    def poll(self, *, reading: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        """Set the beat, and keep it fresh, from a thread of its own for the rest of the process's life; each read is within a `reading`."""
        self._reading = reading
        threading.Thread(target=self._run, name="even-time", daemon=True).start()

    def _run(self) -> None:
        while True:
            self._reload_or_report()
            time.sleep(POLL_SECONDS)

    def _reload_or_report(self) -> None:
        try:
            self.reload()
        except (DatabaseError, InterfaceError):
            logger.warning("the kinds of password hashes could not be read; the time of refusals stays as it was")
        except Exception:
            # Whatever it was, the next round may go well.
            logger.exception("the kinds of password hashes could not be read")
        finally:
            connection.close()  # for minutes nobody asks anything on it

    def _measure(self, encoded: str) -> float:
        """Seconds that a hash of this kind and cost takes; of a corrupt one none."""
        try:
            kind = str(identify_hasher(encoded).safe_summary(encoded))
        except (ValueError, KeyError, AssertionError):  # what Django's hashers say of a text that is not theirs
            return 0.0
        if kind not in self._measured:
            self._measured[kind] = _timed(encoded)
        return self._measured[kind]


pace = Pace()


def _samples(own: str) -> list[str]:
    """One hash of each kind and cost that is stored, but for those like `own`."""
    own = own.rsplit("$", 2)[0] + "$"
    algorithms = list(get_hashers_by_algorithm())
    with _for_long(), connection.cursor() as cursor:
        cursor.execute(_SAMPLES_SQL.format(algorithms=", ".join(["%s"] * len(algorithms))), [len(own), own, *algorithms])
        return [sample for (sample,) in cursor.fetchall()]


# The parts that say what a hash costs, and neither salt nor digest: PBKDF2's second; N, r and p of scrypt; bcrypt's and Argon2's fourth.
_SAMPLES_SQL = """
    SELECT min(password) FROM accounts_user
    WHERE substr(password, 1, %s) <> %s AND split_part(password, '$', 1) IN ({algorithms})
    GROUP BY
        split_part(password, '$', 1),
        split_part(password, '$', 2),
        CASE WHEN password LIKE 'pbkdf2%%' THEN '' ELSE split_part(password, '$', 4) END,
        CASE WHEN password LIKE 'scrypt%%' THEN split_part(password, '$', 5) ELSE '' END
"""


@contextmanager
def _for_long() -> Iterator[None]:
    """The whole table is read, which may take longer than a request's statement may; and SQLite has to be taught split_part."""
    if connection.vendor != "postgresql":
        connection.ensure_connection()
        connection.connection.create_function("split_part", 3, _split_part, deterministic=True)
        yield
        return
    with transaction.atomic(), connection.cursor() as cursor:
        # LOCAL: behind a pooler the connection is somebody else's afterwards.
        cursor.execute("SET LOCAL statement_timeout = '60s'")
        yield


def _split_part(text: str, mark: str, number: int) -> str:
    parts = text.split(mark, number)
    return parts[number - 1] if number <= len(parts) else ""


def _timed(encoded: str) -> float:
    """Of the core, not of the clock: a machine that is busy just now is no slower for it."""
    hasher, started = identify_hasher(encoded), time.thread_time()
    hasher.verify("a password that is nobody's", encoded)
    return time.thread_time() - started
