"""The statements of the lockout: each decides by the row as it stands when its turn comes, so parallel attempts count exactly.

Raw SQL that runs on PostgreSQL and SQLite alike; what differs is how each takes JSON apart.
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

from django.conf import settings

from accounts import clock, statements
from accounts.models import LoginCounter

EVERYWHERE = "*"
ABANDONED_AFTER = timedelta(seconds=10)
KNOWN_FOR = timedelta(days=30)
KNOWN_LANE_FAILURES = 100
RECORD_EVERY = timedelta(minutes=1)
# A lane that is used again within this keeps its `used_at`, so that its index is not written: a sign-in writes its lane twice.
USED_WITHIN = timedelta(minutes=5)

TABLE = "accounts_logincounter"

# Attempts that run now, and what becomes of them, in each database's own words for JSON.
_JSON = {
    "postgresql": {
        "count": "(SELECT count(*) FROM jsonb_each_text({table}.in_flight) AS held WHERE held.value::float8 > {now})",
        "kept": (
            "(SELECT coalesce(jsonb_object_agg(held.key, held.value), '{{}}') FROM jsonb_each({table}.in_flight) AS held"
            " WHERE (held.value#>>'{{}}')::float8 > {now})"
        ),
        "first": "jsonb_build_object(%(attempt)s::text, {expiry})",
        "added": "({kept} || jsonb_build_object(%(attempt)s::text, {expiry}))",
        "removed": "({table}.in_flight - %(attempt)s::text)",
    },
    "sqlite": {
        "count": "(SELECT count(*) FROM json_each({table}.in_flight) AS held WHERE held.value > {now})",
        "kept": (
            "(SELECT coalesce(json_group_object(held.key, held.value), '{{}}') FROM json_each({table}.in_flight) AS held"
            " WHERE held.value > {now})"
        ),
        "first": "json_object(%(attempt)s, {expiry})",
        "added": "json_set({kept}, '$.' || %(attempt)s, {expiry})",
        "removed": "json_remove({table}.in_flight, '$.' || %(attempt)s)",
    },
}


@dataclass(frozen=True)
class Failed:
    """The lane after a failure: locked until when, and how many failures the audit has not been told of and now should be."""

    locked_until: datetime | None
    to_record: int


def reserve(digest: bytes, *, source: str, user_id: UUID | None, attempt_id: str) -> tuple[str, ...] | None:
    """Count an attempt in the source's lane and, unless the source is known, in that of all unknown ones.

    Returns the lanes; None when one of them is locked or full. Then the caller rolls back.
    """
    parameters = _parameters(digest, source=source, attempt_id=attempt_id) | {"user_id": statements.uuid_parameter(user_id)}
    rows = statements.fetch(_reserve_sql(statements.vendor()), parameters)
    is_known = {lane: bool(known) for lane, known in rows}
    if source not in is_known or not (EVERYWHERE in is_known or is_known[source]):
        return None
    return tuple(is_known)


def reserve_known(digest: bytes, *, source: str, attempt_id: str) -> bool:
    """As `reserve`, if the source is known; False, and nothing has changed, if it is not, or its lane is locked or full."""
    parameters = _parameters(digest, source=source, attempt_id=attempt_id)
    return statements.execute(_reserve_known_sql(statements.vendor()), parameters) == 1


def fail(digest: bytes, *, lane: str, attempt_id: str) -> Failed:
    """Turn an attempt into a failure; the last one that the lane allows locks it."""
    parameters = _parameters(digest, source=lane, attempt_id=attempt_id)
    rows = statements.fetch(_fail_sql(statements.vendor()), parameters)
    if not rows:  # pruned meanwhile
        return Failed(None, 1)
    [(locked_until, is_locked, to_record)] = rows
    return Failed(clock.read(locked_until) if is_locked else None, to_record)


def release(digest: bytes, *, lane: str, attempt_id: str) -> None:
    sql = f"UPDATE {TABLE} SET {released()} WHERE digest = %(digest)s AND source = %(source)s"  # noqa: S608 - composed of constants
    statements.execute(sql, {"digest": digest, "source": lane, "attempt": attempt_id})


def forgive(digest: bytes, *, lane: str) -> int | None:
    """Forget the lane's failures and running attempts and know its source; how many failures the audit was not told of.

    None when it is locked.
    """
    sql = f"""
        UPDATE {TABLE} SET {forgiven()}
        WHERE digest = %(digest)s AND source = %(source)s AND {is_open()}
        RETURNING to_record"""  # noqa: S608 - constants
    rows = statements.fetch(sql, {"digest": digest, "source": lane} | forgiven_parameters())
    return int(rows[0][0]) if rows else None


def forgiven() -> str:
    """What becomes of a lane's columns when the password was right."""
    now = clock.instant_sql("now")
    return (
        "failures = 0, window_started_at = NULL, locked_until = NULL, in_flight = '{}',"
        f" to_record = unrecorded, unrecorded = 0, recorded_at = NULL, last_success_at = {now}, used_at = {_used()}"
    )


def forgiven_parameters() -> dict[str, Any]:
    """Of `forgiven` and `is_open`."""
    return {"now": clock.instant_parameter(), "used_since": clock.instant_parameter(plus=-USED_WITHIN)}


def released() -> str:
    """What becomes of a lane's columns when the attempt ended without a verdict."""
    return f"in_flight = {_json('removed')}"


def is_open() -> str:
    """The condition that a lane is not locked."""
    return f"({TABLE}.locked_until IS NULL OR {TABLE}.locked_until <= {clock.instant_sql('now')})"


def clear(digest: bytes) -> int:
    """Forget all failures of a name, in every lane, in the caller's transaction; how many lanes were locked."""
    held = statements.fetch(
        f"SELECT id, coalesce(locked_until > {clock.instant_sql('now')}, false) FROM {TABLE} WHERE digest = %(digest)s"  # noqa: S608 - constants
        # In the order in which `reserve` takes them: the other way round would be a deadlock.
        f" ORDER BY source = '{EVERYWHERE}', source {_held('FOR NO KEY UPDATE')}",
        {"digest": digest, "now": clock.instant_parameter()},
    )
    # No lane that began since: nobody may be waited for who waits for one of these.
    LoginCounter.objects.filter(pk__in=[pk for pk, _ in held]).update(
        failures=0, window_started_at=None, locked_until=None, lane_failures=0, lane_started_at=None
    )
    return sum(bool(is_locked) for _, is_locked in held)


def remove_idle(*, limit: int) -> int:
    """Lanes without a success after the longest window, the others when their source is not known any more."""
    longest = max(settings.RATE_LIMIT_PER_USERNAME.period, settings.BRUTE_FORCE_LOCKOUT_DURATION)
    # SKIP LOCKED: a lane that is held is not idle. Without it one that was waited for would go by what it was before.
    sql = f"""
        DELETE FROM {TABLE} WHERE id IN (
            SELECT id FROM {TABLE}
            WHERE used_at < {clock.steady_sql("idle_since")} AND (last_success_at IS NULL OR used_at < {clock.steady_sql("known_since")})
            ORDER BY used_at LIMIT %(limit)s {_held("FOR UPDATE SKIP LOCKED")})"""  # noqa: S608 - composed of constants
    parameters = {
        "known_since": clock.instant_parameter(plus=-KNOWN_FOR - USED_WITHIN),
        "idle_since": clock.instant_parameter(plus=-longest - USED_WITHIN),
        "limit": limit,
    }
    return statements.execute(sql, parameters)


def locks(digest: bytes, *, source: str) -> list[tuple[datetime, int]]:
    """The locks that keep this source out: until when, and for how many seconds more, rounded up."""
    rows = statements.fetch(_locks_sql(statements.vendor()), _parameters(digest, source=source, attempt_id=""))
    return [(clock.read(until), math.ceil((clock.read(until) - clock.read(now)).total_seconds())) for until, now in rows]


def _json(word: str, **parts: str) -> str:
    now, expiry = clock.epoch_sql("epoch"), clock.epoch_sql("epoch_expiry")
    return _JSON[statements.vendor()][word].format(table=TABLE, now=now, expiry=expiry, **parts)


def _is_known(row: str) -> str:
    """Somebody signed in from there within 30 days, and not so many failed there since."""
    return (
        f"({row}.last_success_at > {clock.instant_sql('known_since')}"
        f" AND NOT ({row}.lane_failures >= {KNOWN_LANE_FAILURES} AND {row}.lane_started_at > {clock.instant_sql('known_since')}))"
    )


def _held(how: str) -> str:
    """Rows that are read and held. On SQLite whoever may write holds them all."""
    return how if statements.vendor() == "postgresql" else ""


def _per_lane(*, wide: str, own: str) -> str:
    return f"CASE {TABLE}.source WHEN '{EVERYWHERE}' THEN {wide} ELSE {own} END"


def _failures() -> str:
    """Those within the lane's window, which begins with the first of them."""
    since = _per_lane(wide=clock.instant_sql("wide_since"), own=clock.instant_sql("own_since"))
    return f"(CASE WHEN {TABLE}.window_started_at > {since} THEN {TABLE}.failures ELSE 0 END)"


_LIMIT = f"({_per_lane(wide='%(wide_limit)s', own='%(own_limit)s')})"


@cache
def _reserve_sql(vendor: str) -> str:
    now, first = clock.instant_sql("now"), _json("first")
    return f"""
        INSERT INTO {TABLE}
            (digest, source, user_id, failures, in_flight, lane_failures, unrecorded, to_record, used_at)
        SELECT %(digest)s, lane.source, {_cast(vendor, "user_id", "uuid")}, 0, {first}, 0, 0, 0, {_cast_instant(vendor, now)}
        FROM (SELECT %(source)s AS source UNION ALL SELECT '{EVERYWHERE}') AS lane
        WHERE lane.source <> '{EVERYWHERE}' OR NOT EXISTS (
            SELECT 1 FROM {TABLE} AS known WHERE known.digest = %(digest)s AND known.source = %(source)s AND {_is_known("known")})
        ON CONFLICT (digest, source) DO UPDATE SET {_counted()} WHERE {_has_room()}
        RETURNING source, coalesce({_is_known(TABLE)}, false)"""  # noqa: S608 - composed of constants


@cache
def _reserve_known_sql(vendor: str) -> str:
    return f"""
        UPDATE {TABLE} SET {_counted()}
        WHERE digest = %(digest)s AND source = %(source)s AND {_is_known(TABLE)} AND {_has_room()}"""  # noqa: S608 - composed of constants


def _used() -> str:
    """When the lane was used, but for USED_WITHIN: a later instant is written when that is over."""
    return f"CASE WHEN {TABLE}.used_at > {clock.instant_sql('used_since')} THEN {TABLE}.used_at ELSE {clock.instant_sql('now')} END"


def _counted() -> str:
    """What becomes of a lane's columns when an attempt begins."""
    added, failures = _json("added", kept=_json("kept")), _failures()
    return (
        f"in_flight = {added}, used_at = {_used()}, failures = {failures},"
        f" window_started_at = CASE WHEN {failures} = 0 THEN NULL ELSE {TABLE}.window_started_at END"
    )


def _has_room() -> str:
    """The condition that a lane is not locked, and that no more attempts run in it than may fail."""
    count, failures = _json("count"), _failures()
    # SECURITY: in the statement that counts, whose condition is asked of the row after the wait for it: of a hundred at once no more
    # get through than may fail. Where a lane has used up its failures but is not locked (any more), one at a time may try.
    return f"({is_open()} AND {count} < CASE WHEN {failures} < {_LIMIT} THEN {_LIMIT} - {failures} ELSE 1 END)"


@cache
def _fail_sql(vendor: str) -> str:
    now, removed, failures = clock.instant_sql("now"), _json("removed"), f"({_failures()} + 1)"
    is_last = f"{failures} >= {_LIMIT}"
    is_due = f"({TABLE}.recorded_at IS NULL OR {TABLE}.recorded_at <= {clock.instant_sql('record_since')} OR {is_last})"
    lane_goes_on = f"{TABLE}.lane_started_at > {clock.instant_sql('known_since')}"
    # A source's own lane starts at nothing after its lock. The wide one keeps its window: after it, one try a lock.
    return f"""
        UPDATE {TABLE}
        SET in_flight = {removed}, used_at = {_used()},
            failures = CASE WHEN {is_last} AND source <> '{EVERYWHERE}' THEN 0 ELSE {failures} END,
            window_started_at = CASE WHEN {is_last} AND source <> '{EVERYWHERE}' THEN NULL
                                     WHEN {failures} = 1 THEN {now} ELSE window_started_at END,
            locked_until = CASE WHEN {is_last} THEN {clock.instant_sql("lock_end")} ELSE locked_until END,
            lane_failures = CASE WHEN {lane_goes_on} THEN lane_failures + 1 ELSE 1 END,
            lane_started_at = CASE WHEN {lane_goes_on} THEN lane_started_at ELSE {now} END,
            to_record = CASE WHEN {is_due} THEN unrecorded + 1 ELSE 0 END,
            unrecorded = CASE WHEN {is_due} THEN 0 ELSE unrecorded + 1 END,
            recorded_at = CASE WHEN {is_due} THEN {now} ELSE recorded_at END
        WHERE digest = %(digest)s AND source = %(source)s
        RETURNING locked_until, coalesce(locked_until > {now}, false), to_record"""  # noqa: S608 - composed of constants


@cache
def _locks_sql(vendor: str) -> str:
    now = clock.instant_sql("now")
    return f"""
        SELECT locked_until, {now} FROM {TABLE}
        WHERE digest = %(digest)s AND locked_until > {now}
          AND (source = %(source)s OR (source = '{EVERYWHERE}' AND NOT EXISTS (
            SELECT 1 FROM {TABLE} AS known
            WHERE known.digest = %(digest)s AND known.source = %(source)s AND {_is_known("known")})))"""  # noqa: S608 - composed of constants


def _parameters(digest: bytes, *, source: str, attempt_id: str) -> dict[str, Any]:
    lock, wide = settings.BRUTE_FORCE_LOCKOUT_DURATION, settings.RATE_LIMIT_PER_USERNAME
    return {
        "digest": digest,
        "source": source,
        "attempt": attempt_id,
        "own_limit": settings.BRUTE_FORCE_THRESHOLD,
        "wide_limit": wide.limit,
        "epoch": clock.epoch_parameter(),
        "epoch_expiry": clock.epoch_parameter(plus=ABANDONED_AFTER),
        "now": clock.instant_parameter(),
        "used_since": clock.instant_parameter(plus=-USED_WITHIN),
        "own_since": clock.instant_parameter(plus=-lock),
        "wide_since": clock.instant_parameter(plus=-wide.period),
        "known_since": clock.instant_parameter(plus=-KNOWN_FOR),
        "record_since": clock.instant_parameter(plus=-RECORD_EVERY),
        "lock_end": clock.instant_parameter(plus=lock),
    }


def _cast(vendor: str, name: str, kind: str) -> str:
    """PostgreSQL does not guess the type of a parameter in a SELECT list."""
    return f"%({name})s::{kind}" if vendor == "postgresql" else f"%({name})s"


def _cast_instant(vendor: str, sql: str) -> str:
    return f"{sql}::timestamptz" if vendor == "postgresql" else sql
