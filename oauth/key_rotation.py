"""The signing keys take turns: by themselves when it is time, when somebody asks, and at once when a key has leaked.

Every step looks again at all rows, locked, by the database's clock, so that of several processes or people who
do the same at once one does it. Keys are made before the rows are locked: that takes time.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from accounts import clock
from accounts.actors import NOBODY, Actor
from oauth import key_pairs, key_rows
from oauth.key_pairs import KeyPair, NotUsable
from oauth.key_schedule import Place, Schedule, State
from oauth.models import SigningKey

# By then every process has read several times of what was decided.
READ_BY_ALL = timedelta(seconds=2)

logger = logging.getLogger(__name__)


class Conflict(Exception):
    """What was decided on is not so any more, or never was. The message tells a person."""


@dataclass(frozen=True)
class Succession:
    """Which key signs next, and from when. `decided_now` is False when that stood fast already."""

    kid: str
    signs_from: datetime
    decided_now: bool


def prepare() -> None:
    """What a server does before it serves. Raises encryption.Undecryptable, NotUsable."""
    if settings.PRIVATE_KEY_PATH:
        import_pem(Path(settings.PRIVATE_KEY_PATH), kid=settings.PRIVATE_KEY_ID)
    maintain()


def is_complete(schedule: Schedule[SigningKey], *, now: datetime) -> bool:
    """Whether `maintain` would find nothing to do."""
    return _has_standby(schedule, now) and not _is_due(schedule, now) and not _to_erase(schedule, now)


def maintain() -> None:
    """Make the first key and the standby where they are missing, let a rotation begin that is due, erase what is retired.

    Raises encryption.Undecryptable, and makes nothing, when the key that signs does not open here.
    """
    ensure_first()
    # SECURITY: or a process with the wrong encryption key leaves a standby that nobody else can sign with.
    ensure_opens()
    ensure_standby()
    _begin_when_due()
    for place in _to_erase(key_rows.current(), clock.database_now()):
        with transaction.atomic():
            key_rows.erase(place.key)


def ensure_first() -> SigningKey:
    """The oldest key, made when there is none yet. It signs at once: no verifier can hold an older set."""
    first = SigningKey.objects.order_by("sequence").first()
    if first is not None:
        return first
    fresh, now = key_rows.generate(), clock.database_now()
    try:
        # SECURITY: the unique sequence decides which of several processes made the first key.
        with transaction.atomic():
            return key_rows.insert(fresh, sequence=1, now=now, signs_from=now, event="created")
    except IntegrityError:
        return SigningKey.objects.get(sequence=1)


def ensure_standby() -> None:
    """Publish the key that will sign after the one that does now."""
    if _has_standby(key_rows.current(), clock.database_now()):
        return
    fresh = key_rows.generate()
    with transaction.atomic():
        rows, now = key_rows.locked(), clock.database_now()
        if not _has_standby(key_rows.schedule_of(rows), now):
            key_rows.insert(fresh, sequence=key_rows.next_sequence(rows), now=now, signs_from=None, event="created")


def ensure_opens() -> None:
    """Raises encryption.Undecryptable when the key that signs does not open with what this process was given."""
    signing = key_rows.current().signer(clock.database_now())
    if signing is not None:
        key_rows.unseal(signing.key)


def rotate(*, signer: str, actor: Actor, reason: str) -> Succession:
    """Let the standby sign as soon as every verifier may know it. `signer` is the kid that the caller takes for the one that signs.

    Raises Conflict when another signs by now, so that two people who rotate at once do it once; encryption.Undecryptable.
    """
    with transaction.atomic():
        schedule, now = key_rows.schedule_of(key_rows.locked()), clock.database_now()
        signing, standby = schedule.signer(now), schedule.standby(now)
        if signing is None or signing.key.kid != signer:
            raise Conflict(_("The key %(kid)s does not sign any more. Look at the schedule again.") % {"kid": signer})
        if standby is None:
            raise Conflict(_("There is no standby yet; a server that runs makes it within a second, and bootstrap does. Try again then."))
        signs_from = earliest(standby, now=now)
        if standby.key.signs_from is not None and standby.key.signs_from <= signs_from:
            return Succession(standby.key.kid, standby.key.signs_from, decided_now=False)
        key_rows.unseal(standby.key)
        key_rows.begin(standby.key, signs_from=signs_from, actor=actor, reason=reason)
        return Succession(standby.key.kid, signs_from, decided_now=True)


def earliest(standby: Place[SigningKey], *, now: datetime) -> datetime:
    """When a standby may sign, and every verifier knows it."""
    # SECURITY: a verifier may hold a key set that is almost as old as KEY_PUBLISH_LEAD, and refuses a key that is younger.
    return max(_soonest(now), standby.key.published_at + settings.KEY_PUBLISH_LEAD)


def _soonest(now: datetime) -> datetime:
    """When a key may sign that another signs before, and every process knows of it.

    A process whose clock is ahead would otherwise go on with the key before, for longer than that one's removal allows for.
    """
    return now + settings.CLOCK_SKEW + READ_BY_ALL


def revoke(kid: str, *, actor: Actor, reason: str, encryption_keys_are_lost: bool = False) -> None:
    """Take a key that others may have out of use, at once: no process of ours signs with it or takes its tokens a second later.

    If it signed, the standby does from now on. A new standby is published. Raises Conflict for a key that is out of use already,
    or that does not exist; encryption.Undecryptable, unless nobody has the encryption keys any more.
    """
    if not encryption_keys_are_lost:
        ensure_opens()
    fresh = key_rows.generate()
    with transaction.atomic():
        rows, now = key_rows.locked(), clock.database_now()
        place = next((place for place in key_rows.schedule_of(rows).places if place.key.kid == kid), None)
        if place is None:
            raise Conflict(_("There is no key %(kid)s.") % {"kid": kid})
        if place.state(now) in {State.REVOKED, State.RETIRED}:
            is_revoked = place.state(now) is State.REVOKED
            raise Conflict(
                _("The key %(kid)s is revoked already: nothing signs with it, and nobody takes its tokens.") % {"kid": kid}
                if is_revoked
                else _("The key %(kid)s is retired already: nothing signs with it, and nobody takes its tokens.") % {"kid": kid}
            )
        key_rows.revoke(place.key, now=now, actor=actor, reason=reason)
        _close_ranks(rows, fresh, now=now, actor=actor)


def import_pem(path: Path, *, kid: str, after: timedelta = timedelta(0)) -> SigningKey | None:
    """Let the key of a PEM file sign, at once or after another, under the `kid` that its verifiers know. None when it was imported before.

    `after` is how long it is published first, where another signs.

    Raises NotUsable.
    """
    try:
        imported = key_pairs.from_pem(path.read_bytes(), kid=kid)
    except OSError as error:
        raise NotUsable(f"it cannot be read: {error.strerror}") from None
    try:
        with transaction.atomic():
            rows, now = key_rows.locked(), clock.database_now()
            # Whatever has become of it since: a key that was revoked does not come back with a restart.
            if any(row.thumbprint == imported.thumbprint for row in rows):
                return None
            if any(row.kid == imported.kid for row in rows):
                raise NotUsable(f"another key has the kid {imported.kid} already")
            signs_from = max(_soonest(now), now + after) if rows else now
            return key_rows.insert(imported, sequence=key_rows.next_sequence(rows), now=now, signs_from=signs_from, event="imported")
    except IntegrityError:  # another process did it just now
        return None


def reencrypt() -> tuple[int, int]:
    """Encrypt every private key under the first of KEY_ENCRYPTION_KEYS. How many were, and of how many.

    Raises encryption.Undecryptable, and changes nothing, when one of them opens with none.
    """
    with transaction.atomic():
        rows = [row for row in key_rows.locked() if row.private_key]
        return sum([key_rows.reencrypt(row) for row in rows]), len(rows)


def _begin_when_due() -> None:
    with transaction.atomic():
        schedule, now = key_rows.schedule_of(key_rows.locked()), clock.database_now()
        standby = schedule.standby(now)
        if standby is not None and _is_due(schedule, now):
            key_rows.unseal(standby.key)
            key_rows.begin(standby.key, signs_from=_soonest(now), actor=NOBODY, reason="due")


def _close_ranks(rows: list[SigningKey], fresh: KeyPair, *, now: datetime, actor: Actor) -> None:
    """After a revocation: a key that signs, and behind it one that verifiers can learn of."""
    schedule = key_rows.schedule_of(rows)
    signing, standby = schedule.signer(now), schedule.standby(now)
    if signing is None:
        logger.error("the signing key was revoked and there was no standby; verifiers learn of the new key when their key set expires")
    elif signing is standby:
        key_rows.begin(signing.key, signs_from=now, actor=actor, reason="the key before it was revoked")
    if standby is None or standby is signing:
        signs_from = now if signing is None else None
        key_rows.insert(fresh, sequence=key_rows.next_sequence(rows), now=now, signs_from=signs_from, event="created", actor=actor)


def _has_standby(schedule: Schedule[SigningKey], now: datetime) -> bool:
    """One that is not needed to sign now."""
    standby = schedule.standby(now)
    return standby is not None and standby is not schedule.signer(now)


def _is_due(schedule: Schedule[SigningKey], now: datetime) -> bool:
    """Whether the standby is to be told when to sign."""
    standby = schedule.standby(now)
    due_at = schedule.due_at(now, every=settings.KEY_ROTATION_PERIOD, lead=settings.KEY_PUBLISH_LEAD)
    return standby is not None and standby.key.signs_from is None and due_at is not None and due_at <= now


def _to_erase(schedule: Schedule[SigningKey], now: datetime) -> list[Place[SigningKey]]:
    return [place for place in schedule.places if place.key.private_key and place.state(now) is State.RETIRED]
