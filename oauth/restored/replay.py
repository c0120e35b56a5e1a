"""Revokes again what was revoked since the backup that the database was restored from; or, when that is not known, what may have been.

All of it may be done again: what is revoked stays as it is, and what came after the first run began is left alone. Only a user of whom a
fuller export tells something new loses what they have then: who had what was given up could sign in meanwhile, and get it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar
from uuid import UUID

from django.contrib.sessions.models import Session as BrowserSession
from django.db import transaction

from accounts import audit, browser_sessions, clock, one_time_tokens
from accounts.actors import Actor
from accounts.clock import Instant
from accounts.models import AuditEvent, OneTimeToken, User
from oauth import client_switch, clients, key_rotation, key_rows, session_ending, sessions
from oauth.key_schedule import State
from oauth.models import Client, Consent, Session
from oauth.restored import done as done_before
from oauth.restored import people
from oauth.restored.forgotten import Forgotten, Software
from oauth.restored.lines import Key

STARTED, FINISHED = "restore:revocations:started", "restore:revocations:finished"
REASON = "ended_after_restore"
BATCH = 1000

Each = TypeVar("Each")


@dataclass(frozen=True)
class Run:
    """One run of the command for the backup of an instant. With `is_dry` it counts, and changes nothing.

    `opened_by` is when the first run for this backup began: what was opened later is left alone.
    """

    backup_at: datetime
    opened_by: datetime
    is_first: bool
    is_dry: bool
    actor: Actor

    @property
    def reason(self) -> str:
        return f"revoked again after the restore of the backup of {self.backup_at.isoformat()}"


def begin(backup_at: datetime, *, is_dry: bool, source: str, actor: Actor) -> Run:
    """Record it, unless it is dry. A run before that was interrupted is continued."""
    runs = AuditEvent.objects.filter(event=STARTED, detail__backup_at=backup_at.isoformat()).order_by("id")
    before = runs.values_list("detail", flat=True).first()
    opened_by = clock.database_now() if before is None else datetime.fromisoformat(before["opened_by"])
    is_done = AuditEvent.objects.filter(event=FINISHED, detail__backup_at=backup_at.isoformat()).exists()
    if not is_dry:
        detail = {"backup_at": backup_at.isoformat(), "opened_by": opened_by.isoformat(), "source": source}
        audit.record(STARTED, detail=detail, **actor)
    return Run(backup_at, opened_by, is_first=not is_done, is_dry=is_dry, actor=actor)


def known(keys: Iterable[Key]) -> set[Key]:
    """Those events that this database has on record itself."""
    found = set[Key]()
    for batch in _batches((key, key[1]) for key in keys):
        found |= {(at, pk) for pk, at in AuditEvent.objects.filter(pk__in=batch.values()).values_list("pk", "at")} & {*batch}
    return found


def from_export(run: Run, forgotten: Forgotten) -> Iterator[tuple[str, int]]:
    """Revoke again what is known to have been revoked: what it was and how often, one after the other. Raises encryption.Undecryptable."""
    yield "signing keys revoked", sum(_revoke_key(run, kid) for kid in forgotten.keys)
    yield "clients disabled or without their secret", sum(_take_from_client(run, *pair) for pair in forgotten.clients.items())
    yield "users with something taken away", _take_from_people(run, forgotten)
    yield "consents taken back", sum(_withdraw(run, *pair, at=at) for pair, at in forgotten.consents.items())
    yield "sessions ended one by one", sum(_end(run, batch) for batch in _batches(forgotten.sessions.items()))
    yield "sessions ended with all others", sum(_end_all(run, *pair) for pair in forgotten.endings.items())
    yield from _short_lived(run)


def without_export(run: Run) -> Iterator[tuple[str, int]]:
    """End what may have been ended: which sessions that was, nobody knows any more."""
    yield "sessions ended, all there were", _end_all(run, "", run.opened_by)
    yield from _short_lived(run)


def finish(run: Run, counts: Mapping[str, int]) -> None:
    detail = {"backup_at": run.backup_at.isoformat(), "counts": dict(counts)}
    audit.record(FINISHED, detail=detail, **run.actor)


def _short_lived(run: Run) -> Iterator[tuple[str, int]]:
    """Which browsers were signed out, and which codes were used, no event says: all of them go, once. They are few."""
    if run.is_first:
        yield "sessions of browsers ended", BrowserSession.objects.count() if run.is_dry else browser_sessions.end_all()
        yield "codes from mails forgotten", OneTimeToken.objects.count() if run.is_dry else one_time_tokens.forget_all()


def _end(run: Run, batch: Mapping[UUID, str]) -> int:
    """Each on record, with the event that ended it before."""
    rows = Session.objects.filter(pk__in=batch, revoked_at=None)
    if run.is_dry:
        return rows.count()
    with transaction.atomic():
        found = list(rows.select_for_update(of=("self",)).values_list("pk", "client__client_id"))
        for pk, client_id in found:
            reason = sessions.REUSED if batch[pk] == "session:refresh_token:reused" else REASON
            Session.objects.filter(pk=pk).update(revoked_at=Instant(), revoked_reason=reason)
            detail = {"by": "after_restore", "event": batch[pk]}
            audit.record("session:revocation:succeeded", target=pk, client_id=client_id, detail=detail, **run.actor)
    return len(found)


def _end_all(run: Run, client_id: str, at: datetime) -> int:
    """Of a client, or of everybody, those that were opened up to then."""
    client = Client.objects.filter(client_id=client_id).first() if client_id else None
    if client_id and client is None:
        return 0
    if run.is_dry:
        return session_ending.going_on(client, opened_by=at).count()
    return sum(session_ending.batches(client, opened_by=at, reason=REASON))


def _withdraw(run: Run, user_id: UUID, client_id: str, *, at: datetime) -> bool:
    """A consent that was given again after it was taken back stays; the sessions from before do not."""
    consents = Consent.objects.filter(user_id=user_id, client__client_id=client_id, granted_at__lte=at)
    rows = Session.objects.filter(user_id=user_id, client__client_id=client_id, created_at__lte=at, revoked_at=None)
    if run.is_dry:
        return consents.exists() or rows.exists()
    with transaction.atomic():
        forgotten, _ = consents.delete()
        # Keys first: joined to the client, PostgreSQL would not look at the rows again that it had waited for.
        ended = Session.objects.filter(pk__in=list(rows.values_list("pk", flat=True)), revoked_at=None).update(
            revoked_at=Instant(), revoked_reason=REASON
        )
        if forgotten or ended:
            detail = {"sessions": ended, "by": "after_restore"}
            audit.record("user:consent:withdrawn", target=user_id, client_id=client_id, detail=detail, **run.actor)
    return bool(forgotten or ended)


def _take_from_people(run: Run, forgotten: Forgotten) -> int:
    count = 0
    for batch in _batches(forgotten.people.items()):
        here = {*User.objects.filter(pk__in=batch).values_list("pk", flat=True)}
        count += len(here)
        for person_id in here if not run.is_dry else ():
            people.replay(person_id, batch[person_id], actor=run.actor)
    return count


def _take_from_client(run: Run, client_id: str, forgotten: Software) -> bool:
    client = Client.objects.filter(client_id=client_id).first()
    if client is None or run.is_dry:
        return client is not None
    done = []
    with transaction.atomic():
        if forgotten.is_disabled and client_switch.disable(client, actor=run.actor, reason=run.reason):
            done.append("disabled")
        changed_at, until = forgotten.secret_changed_at, forgotten.secret_until
        # SECURITY: the secret of the backup is the one that was given up; the new one nobody here knows.
        if forgotten.loses_secret and changed_at and until and clients.withdraw_secret(client, made_by=changed_at, until=until):
            done.append("secret withdrawn")
        done_before.record(done_before.CLIENT, forgotten, done=done, client_id=client_id, actor=run.actor)
    return True


def _revoke_key(run: Run, kid: str) -> bool:
    """A key that is not here was made after the backup: nobody takes its tokens."""
    now = clock.database_now()
    place = next((place for place in key_rows.current().places if place.key.kid == kid), None)
    if place is None or place.state(now) in {State.REVOKED, State.RETIRED}:
        return False
    if not run.is_dry:
        key_rotation.revoke(kid, actor=run.actor, reason=run.reason)
    return True


def _batches(pairs: Iterable[tuple[Any, Each]]) -> Iterator[dict[Any, Each]]:
    each = iter(pairs)
    while batch := dict(islice(each, BATCH)):
        yield batch
