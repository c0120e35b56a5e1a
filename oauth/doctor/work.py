"""What the server does by itself: keys take turns, what is old goes, mails leave, passwords are hashed in time."""

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth.hashers import get_hasher
from django.db.models import Max
from nacl import pwhash

from accounts import clock, encryption, hash_slots, libargon2, outbox
from accounts import second_factors as factors
from accounts.clock import Instant
from accounts.models import Outbox
from oauth import key_rows
from oauth.doctor.findings import Finding, fail, ok, warn
from oauth.key_schedule import Schedule
from oauth.models import Housekeeping, SigningKey

OVERDUE = timedelta(hours=1)  # a server that runs does it within a minute
OLD_WITHOUT_ROTATION = timedelta(days=365)
MAILS_WAIT = timedelta(minutes=15)
SLOW_HASH_SECONDS = 0.5
SLOWER_THAN_LIBSODIUM = 1.25


def signing_keys() -> Iterator[Finding]:
    """Whether there is one that signs and one that comes after it, and both open."""
    schedule, now = key_rows.current(), clock.database_now()
    signer, standby = schedule.signer(now), schedule.standby(now)
    if signer is None:
        yield fail("signing keys", "There is none: no token can be issued.", mend="Run manage.py bootstrap, or start the server.")
        return
    places = [signer] if standby is None or standby is signer else [signer, standby]
    for place in places:
        try:
            key_rows.unseal(place.key)
        except encryption.Undecryptable as error:
            yield fail("signing keys", str(error), mend="docs/operations.md: When the encryption keys are lost.")
            return
    if len(places) == 1:
        mend = "A server that runs makes one within a second; if none does, its log says why."
        yield warn("signing keys", "None is published to sign next: a leaked key could not be replaced at once.", mend=mend)
    else:
        yield ok("signing keys", f"{signer.key.kid} signs, {places[1].key.kid} is next, and both open.")


def second_factors() -> Iterator[Finding]:
    """Whether the seeds of codes open: under other encryption keys than theirs nobody passes with a code."""
    lost, count = factors.unreadable()
    if lost:
        mend = "Put the value that they were encrypted with back among AUTH_SERVICE__KEY_ENCRYPTION_KEYS, last, and restart the server."
        yield fail("second factors", f"{lost} of {count} seeds open with none of the encryption keys.", mend=mend)
    else:
        yield ok("second factors", f"The encryption keys open all {count} seeds of codes." if count else "Nobody has codes.")


def key_ages() -> Iterator[Finding]:
    schedule, now = key_rows.current(), clock.database_now()
    yield judge_key_ages(schedule, now=now, every=settings.KEY_ROTATION_PERIOD, lead=settings.KEY_PUBLISH_LEAD)


def judge_key_ages(schedule: Schedule[SigningKey], *, now: datetime, every: timedelta | None, lead: timedelta) -> Finding:
    signer, standby = schedule.signer(now), schedule.standby(now)
    if signer is None or signer.key.signs_from is None:
        return warn("key ages", "No key has begun to sign.", mend="Run manage.py bootstrap, or start the server.")
    age, due_at = now - signer.key.signs_from, schedule.due_at(now, every=every, lead=lead)
    found = f"The key has signed for {age.days} days"
    if due_at is not None and due_at + OVERDUE < now:
        mend = "A server that runs lets the next one sign by itself; if none does, its log says why. manage.py signing_keys shows the plan."
        return warn("key ages", f"{found}, and should have been followed at {due_at:%Y-%m-%d %H:%M} UTC.", mend=mend)
    if due_at is None and age > OLD_WITHOUT_ROTATION:
        mend = "Remove AUTH_SERVICE__KEY_ROTATION_DAYS=0, or run manage.py rotate_signing_key."
        return warn("key ages", f"{found}, and none follows by itself: one that was copied unnoticed is good for ever.", mend=mend)
    follows = f"the next one signs from {due_at:%Y-%m-%d %H:%M} UTC" if due_at is not None else "the next one signs when somebody says so"
    known_from = standby.key.published_at + lead if standby is not None else None
    knows = f" and is known to all from {known_from:%Y-%m-%d %H:%M} UTC" if known_from is not None and known_from > now else ""
    return ok("key ages", f"{found}; {follows}{knows}.")


def housekeeping() -> Iterator[Finding]:
    """Whether the daily round was done."""
    due_at = Housekeeping.objects.aggregate(at=Max("due_at"))["at"]
    if not settings.HOUSEKEEPING:
        yield ok("housekeeping", "It is switched off (AUTH_SERVICE__HOUSEKEEPING): manage.py prune has to be run daily by something else.")
    elif due_at is None:
        mend = "A server that runs begins within a minute. Until one does, manage.py prune does the same."
        yield warn("housekeeping", "No round was done yet.", mend=mend)
    elif Housekeeping.objects.filter(due_at__lte=Instant(plus=-OVERDUE), held_until__lte=Instant()).exists():
        mend = 'Look for "housekeeping could not go on" in the log of the server. manage.py prune does the same, and says what it does.'
        yield warn("housekeeping", f"A round was due at {due_at:%Y-%m-%d %H:%M} UTC, and nobody is at it.", mend=mend)
    else:
        yield ok("housekeeping", f"The next round is due at {due_at:%Y-%m-%d %H:%M} UTC.")


def mails_that_wait() -> Iterator[Finding]:
    waiting = Outbox.objects.filter(created_at__lte=Instant(plus=-MAILS_WAIT)).count()
    if not waiting:
        yield ok("mails that wait", f"None for longer than {MAILS_WAIT.seconds // 60} minutes.")
        return
    mend = 'The log says why: "a mail could not be sent". They are tried again for a day, and then given up.'
    if not outbox.is_set_up():
        mend = "Set AUTH_SERVICE__EMAIL_URL and restart the server."
    yield warn("mails that wait", f"{waiting} for longer than {MAILS_WAIT.seconds // 60} minutes.", mend=mend)


def hashing() -> Iterator[Finding]:
    """How long a password takes on this machine, the best of three, against those who may wait for it."""
    try:
        libargon2.named()
    except libargon2.Unproven:
        return  # nothing is hashed, which `argon2` tells
    slots = hash_slots.slots
    seconds = min(_seconds_of_a_hash() for _ in range(3))
    yield judge_hashing(seconds, slots=slots.slots, waiting=slots.waiting, processes=settings.PROCESSES)


def judge_hashing(seconds: float, *, slots: int, waiting: int, processes: int) -> Finding:
    """`slots` and `waiting` are of one process."""
    at_once = processes * slots
    found = (
        f"A password takes {seconds * 1000:.0f} ms, and {at_once} are hashed at once: {at_once / seconds:.0f} sign-ins a second at most."
    )
    mend = "Give the machine faster cores, or lower AUTH_SERVICE__ARGON2_MEMORY_KIB, not below 19456."
    if seconds > SLOW_HASH_SECONDS:
        return warn("hashing", found, mend=mend)
    if waiting / slots * seconds > hash_slots.WAIT_SECONDS:
        return warn("hashing", f"{found} The last of {waiting} who wait is turned away before its turn.", mend=mend)
    return ok("hashing", found)


def _seconds_of_a_hash() -> float:
    hasher, began_at = get_hasher(), time.perf_counter()
    hasher.encode("a password that is nobody's", hasher.salt())
    return time.perf_counter() - began_at


def argon2() -> Iterator[Finding]:
    """Whether the library that is named is used, and faster than libsodium here: one that was built for any processor is not."""
    mend = "Build it for this processor (docs/operations.md: A faster Argon2), or take AUTH_SERVICE__LIBARGON2 away."
    try:
        library = libargon2.named()
    except libargon2.Unproven as error:
        yield fail("argon2", f"{settings.LIBARGON2} is no Argon2 that serves, and the server does not start: {error.reason}.", mend=mend)
        return
    if library is not None:
        yield judge_argon2(library.name, _cpu_seconds(_hash_by(library)), of_libsodium=_cpu_seconds(_hash_by_libsodium), mend=mend)
    elif settings.LIBARGON2:
        yield warn("argon2", f"{settings.LIBARGON2} cannot be loaded here, and libsodium computes.", mend=mend)
    else:
        yield ok("argon2", "libsodium computes.")


def judge_argon2(name: str, seconds: float, *, of_libsodium: float, mend: str) -> Finding:
    found = f"{name} computes, and takes {1000 * seconds:.0f} ms of a core where libsodium takes {1000 * of_libsodium:.0f}."
    return ok("argon2", found) if seconds <= SLOWER_THAN_LIBSODIUM * of_libsodium else warn("argon2", found, mend=mend)


def _hash_by(library: libargon2.Library) -> Callable[[], bytes]:
    memory_kib, passes = settings.ARGON2_MEMORY_KIB, settings.ARGON2_TIME_COST
    return lambda: library.argon2id(b"a password", bytes(16), memory_kib=memory_kib, passes=passes, length=32)


def _hash_by_libsodium() -> bytes:
    memory, passes = settings.ARGON2_MEMORY_KIB * 1024, settings.ARGON2_TIME_COST
    return pwhash.argon2id.kdf(32, b"a password", bytes(16), memlimit=memory, opslimit=passes)


def _cpu_seconds(compute: Callable[[], bytes]) -> float:
    """The best of three, after one that maps memory."""
    times = []
    for _ in range(4):
        began_at = time.thread_time()
        compute()
        times.append(time.thread_time() - began_at)
    return min(times[1:])
