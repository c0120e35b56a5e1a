"""Remove what is past its time: all of it, a small batch at a time. One server process of all does a round a day, beside serving.

Which one does, a row decides: who finds it due takes it for ten minutes, and takes it anew while it works. Whoever dies over it loses
it, and another begins again.
"""

import logging
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import connection

from accounts import (
    audit_retention,
    audit_tally,
    browser_sessions,
    clock,
    lockout,
    one_time_tokens,
    pauses,
    refusals,
    registration,
    statements,
)
from oauth import authorization_codes, device_codes, key_set_use, session_pruning
from oauth.http import STORE_DOWN

KEEP_SESSIONS = timedelta(days=30)
EVERY = timedelta(days=1)
LEASE = timedelta(minutes=10)  # much longer than a batch takes
FIRST_LOOK_SECONDS, LOOK_SECONDS = 3.0, 60.0
PAUSE_SECONDS = 0.01  # others write too
SESSIONS, HOURS = "sessions", "hours of sign-ins counted"

_PRUNE: dict[str, Callable[[], int]] = {
    # Before the events go that they are counted from.
    HOURS: audit_tally.close_hours,
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

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Batch:
    """What one batch looked at and removed, of one kind (or, of HOURS, counted)."""

    kind: str
    looked_at: int
    removed: int


def batches(*, keep_sessions: timedelta) -> Iterator[Batch]:
    """Remove everything that is past its time, with a rest after each batch. Each kind is told of once at least."""
    for kind, prune in _PRUNE.items():
        while removed := prune():
            yield Batch(kind, removed, removed)
            time.sleep(PAUSE_SECONDS)
        yield Batch(kind, 0, 0)
    yield Batch(SESSIONS, 0, 0)
    began_at = time.monotonic()
    for pruned in session_pruning.prune(keep=keep_sessions):
        # As long as the batch took: all sessions are looked at, by a process that serves, and those whom it serves wait for it.
        time.sleep(max(PAUSE_SECONDS, time.monotonic() - began_at))
        yield Batch(SESSIONS, pruned.looked_at, pruned.removed)
        began_at = time.monotonic()


def poll() -> None:
    """Look from a thread of its own, for the rest of the process's life, whether a round is due."""
    if settings.HOUSEKEEPING:
        threading.Thread(target=_run, name="housekeeping", daemon=True).start()


def round_if_due() -> Counter[str] | None:
    """Do a round if none was done since EVERY, nor is under way: what went, by kind.

    None when it is not this process's turn, or is not any more.
    """
    holder = secrets.token_hex(8)
    if not _take(holder, due=True):
        return None
    removed: Counter[str] = Counter()
    renew_at = time.monotonic() + LEASE.total_seconds() / 4
    for batch in batches(keep_sessions=KEEP_SESSIONS):
        removed[batch.kind] += batch.removed
        if time.monotonic() >= renew_at:
            renew_at = time.monotonic() + LEASE.total_seconds() / 4
            if not _take(holder, due=False):
                return None  # this process stood still for so long that another has taken over
    _finish(holder)
    return removed


def _run() -> None:
    pauses.sleep_about(FIRST_LOOK_SECONDS)
    while True:
        _round_or_report()
        pauses.sleep_about(LOOK_SECONDS)


def _round_or_report() -> None:
    try:
        removed = round_if_due()
    except STORE_DOWN as error:
        logger.warning("housekeeping could not go on; some process tries again within minutes", extra={"reason": type(error).__name__})
    except Exception:
        # Whatever it was, the next round may go well; a thread that ended would leave the tables to grow.
        logger.exception("housekeeping could not go on")
    else:
        if removed is not None:
            logger.info("housekeeping is done", extra={"removed": {kind: count for kind, count in removed.items() if count}})
    finally:
        connection.close()  # for a day


def _take(holder: str, *, due: bool) -> bool:
    """Take the row, if a round is due and nobody is at it, or take it anew, while it is still held."""
    now, lease = clock.instant_sql("now"), clock.instant_sql("lease")
    if due:
        sql = f"""
            INSERT INTO oauth_housekeeping (id, holder, held_until, due_at) VALUES (1, %(holder)s, {lease}, {now})
            ON CONFLICT (id) DO UPDATE SET holder = excluded.holder, held_until = {lease}
            WHERE oauth_housekeeping.due_at <= {now} AND oauth_housekeeping.held_until <= {now}"""  # noqa: S608 - composed of constants
    else:
        sql = f"UPDATE oauth_housekeeping SET held_until = {lease} WHERE id = 1 AND holder = %(holder)s"  # noqa: S608 - composed of constants
    parameters = {"holder": holder, "now": clock.instant_parameter(), "lease": clock.instant_parameter(plus=LEASE)}
    return statements.execute(sql, parameters) == 1


def _finish(holder: str) -> None:
    """The next round is due a day from now."""
    now, due = clock.instant_sql("now"), clock.instant_sql("due")
    sql = f"UPDATE oauth_housekeeping SET held_until = {now}, due_at = {due} WHERE id = 1 AND holder = %(holder)s"  # noqa: S608 - composed of constants
    statements.execute(sql, {"holder": holder, "now": clock.instant_parameter(), "due": clock.instant_parameter(plus=EVERY)})
