"""What a restored database does not know: the revocations since its backup, gathered from lines of the exported audit log.

Nothing is asked of the database here and nothing written. The lines are those of `manage.py audit_export` (accounts/audit_lines.py).
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from oauth.restored import endings, lines
from oauth.restored.endings import Ending
from oauth.restored.lines import Event, Key

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
        "signing_key:private_key:reencrypted",
    }
)
OTHER_EVENTS = frozenset(
    {
        "user:account:enabled",
        "user:account:changed",
        "user:second_factor:removed",
        "user:recovery_codes:generated",
        "user:consent:withdrawn",
        "client:registration:disabled",
        "client:registration:enabled",
        "client:secret:rotated",
        "signing_key:schedule:revoked",
    }
)
FLAGS = ("is_staff", "is_superuser")
LISTS = ("roles", "groups", "user_permissions")


@dataclass
class Losses:
    """What was taken from one user or client since, as it stood at `until`, the last event of it."""

    until: datetime
    events: list[str] = field(default_factory=list)  # the names of those that are new

    def note(self, key: Key, *, is_done: bool) -> None:
        """Events come in the order of their time."""
        self.until, _ = key
        self.events += [] if is_done else [lines.name_of(key)]


@dataclass
class Person(Losses):
    """Of a user."""

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
class Software(Losses):
    """Of a client."""

    is_disabled: bool = False
    loses_secret: bool = False
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


def gather(export: Iterable[str], *, since: datetime, known: Callable[[Iterable[Key]], set[Key]], done: Collection[str]) -> Forgotten:
    """What the events from `since` on say. `done` are the names of those of users and clients that were replayed before.

    `known` gives those of some events that the restored database has itself: they are older than the backup, or newer than
    the restore, and what they tell of stands. Exports may overlap, and follow one another in any order. Raises NotAnExport.
    """
    found, others, of_many = Forgotten(), dict[Key, tuple[int, Event]](), dict[Key, Ending]()
    for number, line in enumerate(export, start=1):
        event = lines.parse(line, number=number)
        if event is None:
            continue
        with lines.told(event, number):
            if ending := endings.read(event):
                of_many[event["at"], event["id"]] = ending
        if event["at"] < since:
            continue
        found.events += 1
        found.began_at = min(found.began_at or event["at"], event["at"])
        found.ended_at = max(found.ended_at or event["at"], event["at"])
        with lines.told(event, number):
            if event["event"] in SESSION_EVENTS:
                found.sessions[UUID(event["target"])] = event["event"]
            elif _may_take_something(event):
                others[event["at"], event["id"]] = number, event
    # Or somebody loses the password that they chose after it was given up.
    for key in sorted({*others} - known(others)):
        number, event = others[key]
        with lines.told(event, number):
            _note(found, event, done=done)
    found.endings = endings.opened_by(of_many, since=since, known=known)
    found.people = {person_id: person for person_id, person in found.people.items() if person.has_lost_something}
    found.clients = {client_id: client for client_id, client in found.clients.items() if client.is_disabled or client.loses_secret}
    return found


def _may_take_something(event: Event) -> bool:
    name = event["event"]
    if name == "user:second_factor:used":
        return bool(event["detail"]["kind"] == "recovery_code")
    return name in EPOCH_EVENTS | OTHER_EVENTS | BY_HAND


def _note(found: Forgotten, event: Event, *, done: Collection[str]) -> None:
    key = event["at"], event["id"]
    is_done = lines.name_of(key) in done
    name, at, target, client_id, detail = (event[each] for each in ("event", "at", "target", "client_id", "detail"))
    changes_email = name.startswith("user:account:") and "email" in detail.get("changes", {})
    # Before `factor` was recorded nobody could tell which passkey it was.
    is_unnamed = name == "user:second_factor:removed" and detail["kind"] == "passkey" and "factor" not in detail
    if name in BY_HAND or changes_email or is_unnamed:
        found.by_hand.append(f"{at:%Y-%m-%dT%H:%M:%SZ}  {name}  {client_id or target}")
    match name.split(":")[0], name:
        case _, "signing_key:schedule:revoked":
            found.keys[target] = str(detail.get("reason", ""))
        case _, "user:consent:withdrawn":
            found.consents[UUID(target), client_id] = at
        case "client", _:
            client = found.clients.setdefault(client_id, Software(at))
            client.note(key, is_done=is_done)
            _note_client(client, name, at=at, detail=detail, is_done=is_done)
        case "user", _:
            person = found.people.setdefault(UUID(target), Person(at))
            person.note(key, is_done=is_done)
            _note_person(person, name, at=at, detail=detail, is_done=is_done)


def _note_person(person: Person, name: str, *, at: datetime, detail: Mapping[str, Any], is_done: bool) -> None:
    """What was replayed before takes nothing once more, and nor does an older event that took the same."""
    if name in EPOCH_EVENTS:
        person.ends_sessions = not is_done
    if name in PASSWORD_EVENTS:
        person.loses_password = not is_done
    if name == "user:second_factor:reset":
        person.loses_factors = not is_done
        person.loses_authenticator &= not is_done
        person.loses_recovery_codes &= not is_done
    if name in {"user:recovery_codes:generated", "user:second_factor:used"}:
        person.loses_recovery_codes = not is_done
    if name in {"user:account:disabled", "user:account:enabled"}:
        person.is_disabled = name == "user:account:disabled" and not is_done
    if name == "user:second_factor:removed":
        if detail["kind"] == "totp":
            person.loses_authenticator = not is_done
        if "factor" in detail and not is_done:
            person.passkeys[int(detail["factor"])] = at
    for column, change in detail.get("changes", {}).items():
        if column in FLAGS:
            person.flags[column] = bool(change["after"]) or is_done
        elif column in LISTS:
            before, after = ({*(change[side] or ())} for side in ("before", "after"))
            taken = set() if is_done else before - after
            person.lists[column] = (person.lists.get(column, set()) - (before ^ after)) | taken


def _note_client(client: Software, name: str, *, at: datetime, detail: Mapping[str, Any], is_done: bool) -> None:
    if name in {"client:registration:disabled", "client:registration:enabled"}:
        client.is_disabled = name == "client:registration:disabled" and not is_done
    if name == "client:secret:rotated":
        client.rotations += 1
        client.loses_secret |= not is_done
        # The secret of the backup outlives one rotation for as long as was said, and no second one.
        kept = timedelta(seconds=detail["old_secret_seconds"]) if client.rotations == 1 else timedelta(0)
        client.secret_changed_at, client.secret_until = at, at + kept
