"""Count the attempts on a name before any password is hashed; lock a lane that failed too often, for a while.

A lane is one name from one source. A second lane, of the source `*`, counts over all sources that are not
known for the name. The statements are in login_lanes.py.
"""

import hmac
import ipaddress
import logging
import secrets
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache
from hashlib import sha256
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.db import DatabaseError, InterfaceError, transaction

from accounts import audit, login_lanes, metrics
from accounts.actors import Actor
from accounts.addresses import network_of
from accounts.login_lanes import EVERYWHERE
from accounts.models import User
from accounts.pruning import Pruning

# More is removed in a minute than a process can verify passwords in one.
PRUNE_EVERY_SECONDS = 60.0
PRUNE_BATCH = 10_000

logger = logging.getLogger(__name__)
pruning = Pruning(every_seconds=PRUNE_EVERY_SECONDS)


class Locked(Exception):
    """Too many attempts on this name failed. `until` is by the database's clock."""

    def __init__(self, until: datetime, *, seconds: int) -> None:
        super().__init__("locked")
        self.until = until
        self.seconds = seconds


class Busy(Exception):
    """As many attempts as could lock the name are being verified right now."""


@dataclass(frozen=True, repr=False)
class Reservation:
    """The right to verify one password. `lanes` are the sources that it was counted for."""

    digest: bytes
    id: str
    source: str
    lanes: tuple[str, ...]
    user_id: UUID | None

    @property
    def name_digest(self) -> str:
        """What tells one unknown name from another in the audit; empty for a user's, whose id does."""
        return "" if self.user_id else self.digest.hex()[:16]


def reserve(name: str, *, user: User | None, address: str | None) -> Reservation:
    """Count an attempt on `name` (canonical), the account's if it is somebody's. Raises Locked or Busy, and then nothing has changed."""
    user_id = None if user is None else user.pk
    # SECURITY: user name and e-mail of one account are one lane, or an attacker would have twice the tries.
    digest, source = digest_of(name) if user_id is None else digest_of_user(user_id), source_of(address)
    attempt_id = f"a{secrets.token_hex(8)}"
    # SECURITY: of every name, though nobody's has no known source: or the time of a refusal tells who has signed in before.
    if login_lanes.reserve_known(digest, source=source, attempt_id=attempt_id):
        # Mostly the source is known and its lane is free: one statement, and no transaction around it.
        return Reservation(digest, attempt_id, source, (source,), user_id)
    # Both lanes or none: a refusal rolls back what the other lane was given.
    with transaction.atomic():
        lanes = login_lanes.reserve(digest, source=source, user_id=user_id, attempt_id=attempt_id)
        if lanes is None:
            transaction.set_rollback(True)
    if lanes is None:
        _refuse(digest, source=source)
    assert lanes is not None  # noqa: S101 - for the type checker: _refuse raises
    return Reservation(digest, attempt_id, source, lanes, user_id)


def fail(reservation: Reservation, *, record: dict[str, Any]) -> int:
    """The password was wrong: the attempt becomes a failure, and the one too many a lock. `record` goes into the lock's event.

    Returns how many failures the audit is to be told of now: none, or all of the lane since it was told last. A lock's event
    tells of those before it.
    """
    wide = None
    # In the order in which `reserve` takes the rows: the other way round would be a deadlock.
    with transaction.atomic():
        own = login_lanes.fail(reservation.digest, lane=reservation.source, attempt_id=reservation.id)
        if own.locked_until is not None:
            _record_lock(reservation, lane="source", locked_until=own.locked_until, record=record, count=own.to_record)
        if EVERYWHERE in reservation.lanes:
            wide = login_lanes.fail(reservation.digest, lane=EVERYWHERE, attempt_id=reservation.id)
            if wide.locked_until is not None:
                _record_lock(reservation, lane="unknown sources", locked_until=wide.locked_until, record=record)
    for lane, verdict in (("source", own), ("unknown sources", wide)):
        if verdict is not None and verdict.locked_until is not None:
            metrics.LOCKOUTS.labels(lane).inc()
    if pruning.is_due():
        _prune_or_report()
    return own.to_record if own.locked_until is None else 0


def release(reservation: Reservation) -> None:
    """The attempt ended without a verdict: nothing is counted."""
    for lane in reservation.lanes:
        login_lanes.release(reservation.digest, lane=lane, attempt_id=reservation.id)


def forgive(reservation: Reservation) -> int:
    """The password was right: the lane starts anew and its source is known from now on, in the caller's transaction.

    Returns how many failures the audit has not been told of. Raises Locked when the lane was locked meanwhile, and still is.
    """
    to_record = login_lanes.forgive(reservation.digest, lane=reservation.source)
    if to_record is None:
        _ensure_unlocked(reservation.digest, source=reservation.source)
    if EVERYWHERE in reservation.lanes:
        login_lanes.release(reservation.digest, lane=EVERYWHERE, attempt_id=reservation.id)
    return to_record or 0


def unlock(user_id: UUID, *, actor: Actor, reason: str) -> int:
    """Lift every lock on an account and forget its failures; how many lanes were locked. Audited when there were any."""
    return unlock_name(digest_of_user(user_id), user_id=user_id, actor=actor, reason=reason)


def unlock_name(digest: bytes, *, user_id: UUID | None, actor: Actor, reason: str) -> int:
    """As `unlock`, for a name that may be nobody's."""
    with transaction.atomic():
        lifted = login_lanes.clear(digest)
        if lifted:
            audit.record("user:lockout:lifted", target=user_id or "", detail={"lanes": lifted, "reason": reason}, **actor)
    return lifted


def prune() -> int:
    """Remove a batch of lanes that decide nothing any more; how many."""
    with transaction.atomic():
        return login_lanes.remove_idle(limit=PRUNE_BATCH)


def digest_of(name: str) -> bytes:
    """Of a canonical name that is nobody's. Keyed: what was typed may have been a password."""
    return hmac.digest(_key(settings.TOKEN_KEYS[0]), name.encode("utf-8", "surrogatepass"), sha256)


def digest_of_user(user_id: UUID) -> bytes:
    """Of a user. It begins with what nobody can type, or who types the id instead of a name would count as a nobody in the user's lanes."""
    return digest_of(f"\0{user_id}")


@lru_cache(maxsize=4096)
def source_of(address: str | None) -> str:
    """An address, or the /64 of an IPv6 one: whoever has one address of it has them all."""
    if address is None:
        return ""
    return address if ipaddress.ip_address(address).version == 4 else network_of(address) or ""


@cache
def _key(secret: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"authserver login counters").derive(secret.encode())


def _prune_or_report() -> None:
    try:
        prune()
    except (DatabaseError, InterfaceError):  # the failure is counted, and its answer does not depend on this
        logger.warning("old login counters could not be removed")


def _refuse(digest: bytes, *, source: str) -> None:
    """Raise Locked for the lock that ends last, or Busy."""
    _ensure_unlocked(digest, source=source)
    raise Busy


def _ensure_unlocked(digest: bytes, *, source: str) -> None:
    locks = login_lanes.locks(digest, source=source)
    if locks:
        until, seconds = max(locks)
        raise Locked(until, seconds=seconds)


def _record_lock(reservation: Reservation, *, lane: str, locked_until: datetime, record: dict[str, Any], count: int = 0) -> None:
    detail: dict[str, Any] = {"lane": lane, "until": locked_until.isoformat(timespec="seconds")}
    if count:
        detail["count"] = count
    if reservation.name_digest:
        detail["name_digest"] = reservation.name_digest
    audit.record("user:lockout:started", target=reservation.user_id or "", **record | {"detail": detail | record.get("detail", {})})
