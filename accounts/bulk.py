"""Users in bulk: a file of them is checked, then written in one transaction, whole or not at all; and all of them are read out."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO, NoReturn

from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX, make_password
from django.db import IntegrityError, transaction

from accounts import audit, outbox, user_lines, users
from accounts.bulk_plan import Batch, Change, Plan, Refuse
from accounts.models import Role, User, UserQuerySet
from accounts.user_lines import UserLine

EXPORT_BATCH = 2000

Progress = Callable[[int], None]


class Overtaken(Exception):
    """What was found when the file was checked is not so any more: somebody else wrote. Nothing was imported."""


@dataclass
class Counts:
    """What an import did, or would do. `staff` and `without_password` are of the users it made."""

    lines: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    bad: int = 0
    staff: int = 0
    without_password: int = 0
    roles_created: int = 0

    def add(self, batch: Batch) -> None:
        self.lines += batch.lines
        self.created += len(batch.new)
        self.updated += len(batch.changes)
        self.unchanged += batch.unchanged
        self.bad += batch.bad
        self.staff += sum(line.user.is_staff or line.user.is_superuser for line in batch.new)
        self.without_password += sum(not line.user.password for line in batch.new)


def check(file: BinaryIO, *, update: bool, allow_staff: bool, refuse: Refuse, progress: Progress) -> Counts:
    """What importing the file would do; writes nothing."""
    counts, missing = Counts(), set[str]()
    for batch in Plan(file, update=update, allow_staff=allow_staff, refuse=refuse).batches():
        counts.add(batch)
        missing |= batch.role_names - missing - _role_ids(batch.role_names).keys()
        progress(counts.lines)
    counts.roles_created = len(missing)
    return counts


def write(file: BinaryIO, *, update: bool, allow_staff: bool, skip_bad: bool, progress: Progress) -> Counts:
    """Import the file. Raises Overtaken.

    Users who exist stay as they are; with `update` they follow what the file gives. A hash is taken for
    who has no password alone: one that was set here is not undone by a file.
    """
    counts = Counts()
    plan = Plan(file, update=update, allow_staff=allow_staff, refuse=_pass if skip_bad else _stop)
    try:
        with transaction.atomic():
            for batch in plan.batches(locked=True):
                counts.add(batch)
                counts.roles_created += _write(batch)
                progress(counts.lines)
            if counts.created or counts.updated:
                audit.record("users:import:finished", detail=asdict(counts))
    except IntegrityError:
        raise Overtaken("somebody took a name or an e-mail address of the file just now") from None
    return counts


def export(*, with_hashes: bool) -> Iterator[str]:
    """The line of each user who has not only registered, by primary key; on PostgreSQL as all of them were at one instant."""
    for user in _exported().with_role_names().order_by("pk").iterator(chunk_size=EXPORT_BATCH):
        yield user_lines.format(user, with_hash=with_hashes)


def count_exported() -> int:
    return _exported().count()


def record_export(*, count: int, with_hashes: bool) -> None:
    audit.record("users:export:finished", detail={"count": count, "with_password_hashes": with_hashes})


def _exported() -> UserQuerySet:
    exported: UserQuerySet = User.objects.filter(awaits_confirmation=False)
    return exported


def _pass(number: int, reason: str) -> None:
    """It was told when the file was checked."""


def _stop(number: int, reason: str) -> NoReturn:
    raise Overtaken(f"line {number} was good a moment ago: {reason}")


def _write(batch: Batch) -> int:
    """How many roles had to be made for it."""
    role_ids, made = _ensure_roles(batch.role_names)
    for line in batch.new:
        line.user.password = line.user.password or make_password(None)
    User.objects.bulk_create([line.user for line in batch.new])
    _Membership.objects.bulk_create(_memberships(batch.new, role_ids))
    for change in batch.changes:
        _apply(change, role_ids)
    return made


_Membership = User.roles.through


def _memberships(lines: list[UserLine], role_ids: dict[str, int]) -> list[Any]:
    return [_Membership(user_id=line.user.pk, role_id=role_ids[name]) for line in lines for name in line.role_names]


def _apply(change: Change, role_ids: dict[str, int]) -> None:
    row = User.objects.filter(pk=change.user.pk)
    if change.columns:
        row.update(**change.columns)
    if change.password:
        row.filter(password__startswith=UNUSABLE_PASSWORD_PREFIX).update(password=change.password)
    if change.password or change.columns.get("is_active") is False:
        # SECURITY: as when staff disable somebody: or a thief is back in when the account is enabled again.
        users.end_sessions(change.user)
    elif "email" in change.columns:
        # SECURITY: as when staff change it: or a code that a thief has sent for takes the address back.
        outbox.withdraw(change.user)
    if change.role_names is not None:
        change.user.roles.set([role_ids[name] for name in change.role_names])


def _ensure_roles(names: set[str]) -> tuple[dict[str, int], int]:
    """The ids of the roles with these names, and how many were made for it."""
    missing = names - _role_ids(names).keys()
    for name in sorted(missing):
        Role.objects.create(name=name)
        audit.record("role:registration:created", target=name, detail={"by": "import_users"})
    return _role_ids(names), len(missing)


def _role_ids(names: set[str]) -> dict[str, int]:
    return dict(Role.objects.filter(name__in=names).values_list("name", "pk")) if names else {}
