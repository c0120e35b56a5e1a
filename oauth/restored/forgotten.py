"""What a restored database does not know: the revocations since its backup, gathered from lines of the exported audit log.

Nothing is asked of the database here and nothing written. The lines are those of `manage.py audit_export` (accounts/audit_lines.py).
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

SESSION_EVENTS = frozenset(
    {"session:revocation:succeeded", "session:refresh_token:reused", "session:authorization_code:reused"},
)
# Each of them raised the user's epoch.
EPOCH_EVENTS = frozenset(
    {
        "user:sessions:revoked",
        "user:account:disabled",
        "user:password:changed",
        "user:password:reset",
        "user:second_factor:reset",
    }
)
PASSWORD_EVENTS = frozenset({"user:password:changed", "user:password:reset"})
# What took something away, or may have, that the event does not say enough of to take it away again.
BY_HAND = frozenset(
    {
        "user:email:changed",
        "users:import:finished",
        "older_service:import:finished",
        "client:registration:changed",
        "role:registration:changed",
        "role:registration:deleted",
        "group:registration:changed",
        "group:registration:deleted",
    }
)
OTHER_EVENTS = frozenset(
    {
        "user:account:enabled",
        "user:account:changed",
        "user:second_factor:removed",
        "user:recovery_codes:generated",
        "user:consent:withdrawn",
        "sessions:ending:started",
        "client:registration:disabled",
        "client:registration:enabled",
        "client:secret:rotated",
        "signing_key:schedule:revoked",
    }
)
FLAGS = ("is_staff", "is_superuser")
LISTS = ("roles", "groups", "user_permissions")

Event = dict[str, Any]
Key = tuple[datetime, int]  # of an event: ids alone are given anew after a restore


class NotAnExport(Exception):
    """A line is no event of an export. The message tells the operator which one."""


@dataclass
class Person:
    """What was taken from one user since, as it stood at `until`, their last event of these."""

    until: datetime
    ends_sessions: bool = False
    is_disabled: bool = False
    loses_password: bool = False
    loses_factors: bool = False
    loses_authenticator: bool = False
    loses_recovery_codes: bool = False
    passkeys: dict[int, datetime] = field(default_factory=dict)  # by the id of the row, when it was removed
    flags: dict[str, bool] = field(default_factory=dict)  # of FLAGS, as they are to be
    lists: dict[str, set[str]] = field(default_factory=dict)  # of LISTS, the names that were taken away

    @property
    def has_lost_something(self) -> bool:
        """Whether anything was taken at all: they may have been enabled, or have another name."""
        losses = (self.loses_password, self.loses_factors, self.loses_authenticator, self.loses_recovery_codes, *self.passkeys)
        return any((self.ends_sessions, self.is_disabled, *losses, not all(self.flags.values()), *self.lists.values()))


@dataclass
class Software:
    """What was taken from one client since."""

    until: datetime
    is_disabled: bool = False
    secret_changed_at: datetime | None = None
    secret_until: datetime | None = None  # how long the secret of the backup was to work on
    rotations: int = 0


@dataclass
class Forgotten:
    """All of it, by the names that clients and verifiers know. `events` counts the lines that were read from the backup on."""

    events: int = 0
    began_at: datetime | None = None
    ended_at: datetime | None = None
    sessions: dict[UUID, str] = field(default_factory=dict)  # the event that ended it
    endings: dict[str, datetime] = field(default_factory=dict)  # by client_id; "" is everybody
    consents: dict[tuple[UUID, str], datetime] = field(default_factory=dict)
    people: dict[UUID, Person] = field(default_factory=dict)
    clients: dict[str, Software] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)  # the reason, by kid
    by_hand: list[str] = field(default_factory=list)


def gather(
    lines: Iterable[str],
    *,
    since: datetime,
    known: Callable[[Iterable[Key]], set[Key]],
    people_until: Mapping[UUID, datetime],
    clients_until: Mapping[str, datetime],
) -> Forgotten:
    """What the events from `since` on say. Of a user or a client nothing up to the instant until which it was replayed before.

    `known` gives those of some events that the restored database has itself: they are older than the backup, or newer than
    the restore, and what they tell of stands. Exports may overlap, and follow one another in any order. Raises NotAnExport.
    """
    found, others = Forgotten(), dict[Key, tuple[int, Event]]()
    for number, line in enumerate(lines, start=1):
        event = _parse(line, number=number)
        if event is None or event["at"] < since:
            continue
        found.events += 1
        found.began_at = min(found.began_at or event["at"], event["at"])
        found.ended_at = max(found.ended_at or event["at"], event["at"])
        with _told(event, number):
            if event["event"] in SESSION_EVENTS:
                found.sessions[UUID(event["target"])] = event["event"]
            elif _may_take_something(event):
                others[event["at"], event["id"]] = number, event
    # Or somebody loses the password that they chose after it was given up.
    for key in sorted({*others} - known(others)):
        number, event = others[key]
        with _told(event, number):
            _note(found, event, people_until=people_until, clients_until=clients_until)
    found.people = {person_id: person for person_id, person in found.people.items() if person.has_lost_something}
    found.clients = {client_id: client for client_id, client in found.clients.items() if client.is_disabled or client.secret_until}
    return found


def _parse(line: str, *, number: int) -> Event | None:
    """None for a line that is empty, or a note of the admin's export."""
    if not line.strip():
        return None
    try:
        event = json.loads(line)
        if [*event] == ["note"]:
            return None
        event["at"] = datetime.fromisoformat(event["at"])
        is_event = event["at"].tzinfo is not None and isinstance(event["id"], int) and isinstance(event["event"], str)
    except (ValueError, TypeError, KeyError):
        is_event = False
    if not is_event:
        raise NotAnExport(f"Line {number} is no audit event as manage.py audit_export writes them.")
    return event  # type: ignore[no-any-return] # JSON may be anything


@contextmanager
def _told(event: Event, number: int) -> Iterator[None]:
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError):
        raise NotAnExport(f"Line {number}: this {event['event']} has not the members that such an event has.") from None


def _may_take_something(event: Event) -> bool:
    name = event["event"]
    if name == "user:second_factor:used":
        return bool(event["detail"]["kind"] == "recovery_code")
    return name in EPOCH_EVENTS | OTHER_EVENTS | BY_HAND


def _note(found: Forgotten, event: Event, *, people_until: Mapping[UUID, datetime], clients_until: Mapping[str, datetime]) -> None:
    name, at, target, client_id, detail = (event[key] for key in ("event", "at", "target", "client_id", "detail"))
    changes_email = name.startswith("user:account:") and "email" in detail.get("changes", {})
    # Before `factor` was recorded nobody could tell which passkey it was.
    is_unnamed = name == "user:second_factor:removed" and detail["kind"] == "passkey" and "factor" not in detail
    if name in BY_HAND or changes_email or is_unnamed:
        found.by_hand.append(f"{at:%Y-%m-%dT%H:%M:%SZ}  {name}  {client_id or target}")
    match name.split(":")[0], name:
        case _, "sessions:ending:started":
            found.endings[client_id] = at
        case _, "signing_key:schedule:revoked":
            found.keys[target] = str(detail.get("reason", ""))
        case _, "user:consent:withdrawn":
            found.consents[UUID(target), client_id] = at
        case "client", _ if _is_new(at, clients_until.get(client_id)):
            _note_client(found.clients.setdefault(client_id, Software(at)), name, at=at, detail=detail)
        case "user", _ if _is_new(at, people_until.get(UUID(target))):
            _note_person(found.people.setdefault(UUID(target), Person(at)), name, at=at, detail=detail)


def _is_new(at: datetime, replayed_until: datetime | None) -> bool:
    return replayed_until is None or at > replayed_until


def _note_person(person: Person, name: str, *, at: datetime, detail: Mapping[str, Any]) -> None:
    person.until = at
    person.ends_sessions |= name in EPOCH_EVENTS
    person.loses_password |= name in PASSWORD_EVENTS
    person.loses_factors |= name == "user:second_factor:reset"
    person.loses_recovery_codes |= name in {"user:recovery_codes:generated", "user:second_factor:used"}
    if name in {"user:account:disabled", "user:account:enabled"}:
        person.is_disabled = name == "user:account:disabled"
    if name == "user:second_factor:removed":
        person.loses_authenticator |= detail["kind"] == "totp"
        if "factor" in detail:
            person.passkeys[int(detail["factor"])] = at
    for column, change in detail.get("changes", {}).items():
        if column in FLAGS:
            person.flags[column] = bool(change["after"])
        elif column in LISTS:
            before, after = ({*(change[side] or ())} for side in ("before", "after"))
            person.lists[column] = (person.lists.get(column, set()) | (before - after)) - (after - before)


def _note_client(client: Software, name: str, *, at: datetime, detail: Mapping[str, Any]) -> None:
    client.until = at
    if name in {"client:registration:disabled", "client:registration:enabled"}:
        client.is_disabled = name == "client:registration:disabled"
    if name == "client:secret:rotated":
        client.rotations += 1
        # The secret of the backup outlives one rotation for as long as was said, and no second one.
        kept = timedelta(seconds=detail["old_secret_seconds"]) if client.rotations == 1 else timedelta(0)
        client.secret_changed_at, client.secret_until = at, at + kept
