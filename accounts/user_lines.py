"""A user as one line of JSON (docs/commands.md): read by the rules of UserManager.create_user, and written in the form that is read."""

import json
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.contrib.auth.hashers import is_password_usable
from django.core.exceptions import ValidationError

from accounts import foreign_hashes, identifiers, roles
from accounts.models import Role, User

MAX_BYTES = 64 * 1024
ROLE_LENGTH = Role._meta.get_field("name").max_length or 0

_FLAGS = frozenset({"is_active", "is_staff", "is_superuser"})
# Of the older service's table, and without a place here.
IGNORED = frozenset({"is_verified", "updated_at"})
RENAMED = {"last_login_at": "last_sign_in_at"}


class BadLine(ValueError):
    """A line that is no user. The message says why and never holds a hash or a password."""


@dataclass(frozen=True)
class UserLine:
    """A user who is not stored yet, their roles, and which members stood in the line. Without a hash `user.password` is empty."""

    user: User
    role_names: frozenset[str]
    given: frozenset[str]


def parse(line: bytes, *, allow_staff: bool) -> UserLine:
    """Raises BadLine."""
    members = {RENAMED.get(name, name): value for name, value in _object(line).items() if name not in IGNORED}
    if "password" in members:
        # SECURITY: a file of plain passwords must not come to be a way of moving.
        raise BadLine("plain passwords are not imported: give password_hash, or neither, and the user sets a password")
    unknown = sorted(members.keys() - _READERS.keys())
    if unknown:
        raise BadLine(f"unknown members: {', '.join(name if name.isidentifier() else '?' for name in unknown)}")
    # A null says nothing, but for a flag: whether somebody may sign in is not for a default to decide.
    values = {name: _READERS[name](name, value) for name, value in members.items() if value is not None or name in _FLAGS}
    # SECURITY: or a file from elsewhere makes staff.
    if not allow_staff and (values.get("is_staff") or values.get("is_superuser")):
        raise BadLine("is_staff and is_superuser are imported with --allow-staff alone")
    given = frozenset(values)
    role_names = values.pop("roles", frozenset())
    user = User(password=values.pop("password_hash", ""), **values)
    _ensure_valid(user)
    return UserLine(user, role_names, given)


def format(user: User, *, with_hash: bool) -> str:
    """The line of a user who was read with_role_names."""
    members: dict[str, Any] = {
        "id": str(user.pk),
        "username": user.username,
        "email": user.email,
        "name": user.name,
        "is_active": user.is_active,
        "is_staff": user.is_staff,
        "is_superuser": user.is_superuser,
        "roles": list(roles.parse_names(getattr(user, "role_names_json", None))),
        "created_at": _instant_text(user.created_at),
        "last_sign_in_at": None if user.last_sign_in_at is None else _instant_text(user.last_sign_in_at),
    }
    if with_hash:
        members["password_hash"] = user.password if user.password and is_password_usable(user.password) else None
    return json.dumps(members, ensure_ascii=False, separators=(",", ":"))


def _object(line: bytes) -> dict[str, Any]:
    if len(line) > MAX_BYTES:
        raise BadLine(f"longer than {MAX_BYTES} bytes")
    try:
        value = json.loads(line.decode(), object_pairs_hook=_unrepeated)
    except RecursionError:
        raise BadLine("no JSON object: nested too deep") from None
    except UnicodeDecodeError:
        raise BadLine("not in UTF-8") from None
    except json.JSONDecodeError as error:
        raise BadLine(f"no JSON: {error.msg} at character {error.pos + 1}") from None
    except BadLine:
        raise
    except ValueError:
        raise BadLine("no JSON: a number of too many digits") from None
    if not isinstance(value, dict):
        raise BadLine("no JSON object")
    return value


def _unrepeated(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise BadLine("a member stands twice")
        members[name] = value
    return members


def _ensure_valid(user: User) -> None:
    """As create_user does, but for what only the database knows. Sets the canonical columns."""
    for name in ("username", "email"):
        typed = getattr(user, name).strip()
        setattr(user, name, typed)
        try:
            setattr(user, f"{name}_canonical", identifiers.CANONICAL[name](typed) if typed else None)
        except identifiers.InvalidIdentifier as error:
            raise BadLine(f"{name}: {error}") from None
    if not user.username:
        raise BadLine("username is missing")
    try:
        user.clean_fields(exclude={"password"})
    except ValidationError as error:
        raise BadLine("; ".join(f"{name}: {' '.join(texts)}" for name, texts in error.message_dict.items())) from None


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise BadLine(f"{name} is no string")
    if not value.isprintable() and any(unicodedata.category(character) in {"Cc", "Cs"} for character in value):
        raise BadLine(f"{name} has a control character, or half of one")
    return value


def _flag(name: str, value: Any) -> bool:
    """SQLite's JSON has 0 and 1."""
    if value not in (True, False) or not isinstance(value, int):
        raise BadLine(f"{name} is neither true nor false")
    return bool(value)


def _id(name: str, value: Any) -> UUID:
    text = _text(name, value)
    try:
        found = UUID(text)
    except ValueError:
        raise BadLine(f"{name} is no UUID") from None
    if text.lower() not in {str(found), found.hex}:
        raise BadLine(f"{name} is no UUID")
    return found


def _instant(name: str, value: Any) -> datetime:
    """ISO 8601; UTC when it does not say."""
    text = _text(name, value)
    try:
        instant = datetime.fromisoformat(text)
        return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise BadLine(f"{name} is no time such as 2026-01-31T12:00:00Z") from None


def _instant_text(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _role_names(name: str, value: Any) -> frozenset[str]:
    if not isinstance(value, list):
        raise BadLine(f"{name} is no list")
    names = frozenset(_text("a role", each) for each in value)
    if not all(0 < len(each) <= ROLE_LENGTH and each == each.strip() for each in names):
        raise BadLine(f"a role has 1 to {ROLE_LENGTH} characters, and no spaces around it")
    return names


def _hash(name: str, value: Any) -> str:
    """Empty for Django's mark of a user who has no password."""
    text = _text(name, value)
    try:
        return foreign_hashes.translate(text) if is_password_usable(text) else ""
    except foreign_hashes.InvalidHash as error:
        raise BadLine(str(error)) from None


_READERS: dict[str, Callable[[str, Any], Any]] = {
    "id": _id,
    "username": _text,
    "email": _text,
    "name": _text,
    **dict.fromkeys(_FLAGS, _flag),
    "roles": _role_names,
    "password_hash": _hash,
    "created_at": _instant,
    "last_sign_in_at": _instant,
}
