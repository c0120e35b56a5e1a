"""The whole move: key, users, clients and sessions in one transaction, so that all of it is here or nothing."""

import tempfile
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction

from accounts import audit, bulk, clock
from accounts.actors import Actor
from accounts.models import AuditEvent
from oauth import clients as registered_clients
from oauth import key_pairs, key_rotation
from oauth.models import Session, SigningKey
from oauth.older_service import clients, sessions, users
from oauth.older_service.clients import Refused
from oauth.older_service.database import OlderDatabase

EVENT = "older_service:import:finished"
# How far the clocks of two databases may differ, when it is asked what has changed since the last import.
MARGIN = timedelta(hours=1)

# Of a label and a total, for a line on a terminal.
BeginProgress = Callable[[str, int], Callable[[int], None]]


class NothingDone(Exception):
    """What is wrong, a line each; nothing was brought in."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Selection:
    """What is left out: ids of users, client_ids."""

    without_users: Collection[str] = ()
    without_clients: Collection[str] = ()


@dataclass
class Report:
    """What a run has done, or would do. `signs_from` is when the older key begins to sign."""

    kid: str
    signs_from: datetime
    users: bulk.Counts
    sessions: sessions.Counts
    clients: list[str] = field(default_factory=list)
    hashes_renewed: int = 0
    users_disabled: int = 0

    def has_changed_anything(self) -> bool:
        numbers = (self.users.created, self.sessions.opened, self.sessions.ended, self.hashes_renewed, self.users_disabled)
        return any(numbers) or bool(self.clients)


def run(database: OlderDatabase, *, pem: Path, kid: str, selection: Selection, is_dry: bool, actor: Actor, begin: BeginProgress) -> Report:
    """Bring in what is not here yet, and what has changed there since the last run. Raises NothingDone, key_pairs.NotUsable.

    A dry run does all of it and takes it back.
    """
    try:
        with transaction.atomic():
            report = _run(database, pem=pem, kid=kid, selection=selection, actor=actor, begin=begin)
            transaction.set_rollback(is_dry)
    except IntegrityError:
        raise NothingDone(["Somebody else wrote the same meanwhile. Run it again."]) from None
    registered_clients.cache.forget()
    return report


def _run(database: OlderDatabase, *, pem: Path, kid: str, selection: Selection, actor: Actor, begin: BeginProgress) -> Report:
    last_read_at, read_at = _last_read_at(), clock.now()
    key = _import_key(pem, kid=kid, is_in_use=last_read_at is None and Session.objects.exists())
    counts = _import_users(database, without=selection.without_users, begin=begin)
    report = Report(kid=key.kid, signs_from=key.signs_from or read_at, users=counts, sessions=sessions.Counts())
    if last_read_at is not None:
        changed = users.follow_changes(database, since=last_read_at - MARGIN, without=selection.without_users)
        report.hashes_renewed, report.users_disabled = changed
    report.clients = _import_clients(database, without=selection.without_clients, is_first=last_read_at is None, actor=actor)
    report.sessions = sessions.open_all(database, now=read_at, progress=begin("sessions", 0))
    if last_read_at is not None:
        report.sessions.ended = sessions.end_those_ended_there(database, since=last_read_at - MARGIN, now=read_at)
    if report.has_changed_anything():
        audit.record(EVENT, target=key.kid, detail=_detail(report, read_at=read_at), **actor)
    return report


def _last_read_at() -> datetime | None:
    last = AuditEvent.objects.filter(event=EVENT).order_by("-pk").first()
    return None if last is None else datetime.fromisoformat(last.detail["read_at"])


def _import_key(pem: Path, *, kid: str, is_in_use: bool) -> SigningKey:
    # Who verifies the tokens of this server already may hold its key set for a while yet.
    made = key_rotation.import_pem(pem, kid=kid, after=settings.KEY_PUBLISH_LEAD if is_in_use else timedelta(0))
    key = made or SigningKey.objects.filter(kid=kid).first()
    if key is None:
        raise key_pairs.NotUsable(f"it is here already, and not under the kid {kid}: name its kid with --kid")
    if key.algorithm != key_pairs.RS256:
        raise key_pairs.NotUsable("it is no RSA key, so it is not the older service's")
    if key.revoked_at is not None:
        raise key_pairs.NotUsable("it was revoked here, so nobody takes what it has signed")
    return key


def _import_users(database: OlderDatabase, *, without: Collection[str], begin: BeginProgress) -> bulk.Counts:
    with tempfile.TemporaryFile() as file:  # nobody else can open it: it holds hashes
        ids = users.write_lines(database, file, without=without, progress=begin("reading users", database.count("users")))
        problems: list[str] = []
        rules = {"update": False, "allow_staff": False}
        bulk.check(
            file,
            **rules,
            refuse=lambda number, reason: problems.append(f"user {ids[number - 1]}: {reason}"),
            progress=begin("checking users", len(ids)),
        )
        if problems:
            raise NothingDone(problems)
        return bulk.write(file, **rules, skip_bad=False, progress=begin("writing users", len(ids)))


def _import_clients(database: OlderDatabase, *, without: Collection[str], is_first: bool, actor: Actor) -> list[str]:
    outcomes, problems = [], []
    for older in database.clients():
        if older.client_id not in without:
            try:
                outcomes.append(clients.bring_in(older, widen=is_first, actor=actor))
            except Refused as refused:
                problems.append(str(refused))
    if problems:
        raise NothingDone(problems)
    return [outcome for outcome in outcomes if outcome]


def _detail(report: Report, *, read_at: datetime) -> dict[str, Any]:
    return {
        "read_at": read_at.isoformat(),
        "users": report.users.created,
        "hashes_renewed": report.hashes_renewed,
        "users_disabled": report.users_disabled,
        "clients": len(report.clients),
        "sessions_opened": report.sessions.opened,
        "sessions_ended": report.sessions.ended,
    }
