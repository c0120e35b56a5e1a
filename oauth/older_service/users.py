"""The older service's users: as lines for the import of users that there is, and what became of them there since the last time."""

import json
from collections.abc import Callable, Collection, Iterator
from datetime import datetime
from itertools import islice
from typing import Any, BinaryIO
from uuid import UUID

from accounts import clock, foreign_hashes, users
from accounts.models import User
from oauth.older_service.database import OlderDatabase

BATCH = 500
_MEMBERS = ("id", "username", "email", "password_hash", "is_active", "created_at", "last_login_at")


def write_lines(database: OlderDatabase, file: BinaryIO, *, without: Collection[str], progress: Callable[[int], None]) -> list[str]:
    """One line of JSON a user, as accounts.user_lines reads them. The ids, in the order of the lines."""
    ids: list[str] = []
    for row in database.users():
        if _id(row) not in without:
            ids.append(_id(row))
            line = {name: row[name] for name in _MEMBERS} | {"username": _username(row)}
            file.write(json.dumps(line, default=str).encode() + b"\n")
            progress(len(ids))
    return ids


def follow_changes(database: OlderDatabase, *, since: datetime, without: Collection[str]) -> tuple[int, int]:
    """Take over what changed there since the last import: how many hashes, and how many users who were disabled.

    A hash counts only until its user has signed in here or has another password, and nobody is enabled by it.
    """
    changed = (row for row in database.users() if _id(row) not in without and row["updated_at"] and clock.read(row["updated_at"]) >= since)
    hashes = disabled = 0
    while rows := list(islice(changed, BATCH)):
        there = User.objects.in_bulk([UUID(_id(row)) for row in rows])
        for user, row in _pairs(rows, there):
            hashes += _take_hash(user, row["password_hash"])
            if user.is_active and not row["is_active"]:
                User.objects.filter(pk=user.pk).update(is_active=False)
                # SECURITY: as when staff disable somebody: or a thief is back in when the account is enabled again.
                users.end_sessions(user)
                disabled += 1
    return hashes, disabled


def _pairs(rows: list[dict[str, Any]], there: dict[UUID, User]) -> Iterator[tuple[User, dict[str, Any]]]:
    for row in rows:
        user = there.get(UUID(_id(row)))
        # SECURITY: a file from elsewhere does nothing to staff (import_users has --allow-staff for it).
        if user is not None and not (user.is_staff or user.is_superuser):
            yield user, row


def _take_hash(user: User, text: str | None) -> bool:
    if not text:
        return False
    encoded = foreign_hashes.translate(text)  # checked when the lines were
    algorithm = encoded.partition("$")[0]
    imported = User.objects.filter(pk=user.pk, password__startswith=f"{algorithm}$").exclude(password=encoded)
    return bool(imported.update(password=encoded))


def _username(row: dict[str, Any]) -> Any:
    """Here a user name has no @. Who had their address for one is still known by it, and gets a name made of it."""
    name, email = row["username"], row["email"]
    if isinstance(name, str) and isinstance(email, str) and "@" in name and name.casefold() == email.casefold():
        return f"{name.partition('@')[0]}-{_id(row)[:8]}"
    return name


def _id(row: dict[str, Any]) -> str:
    return str(row["id"]).lower()
