"""What a file of users does to whom: every line is read, compared with those before it and with the users there are, and decided on."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, BinaryIO
from uuid import UUID

from accounts import user_lines
from accounts.models import User
from accounts.user_lines import BadLine, UserLine

BATCH = 500
FOLLOWED = ("username", "email", "name", "is_active")  # of a user who exists, with `update`
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

Refuse = Callable[[int, str], None]


@dataclass(frozen=True, repr=False)  # SECURITY: no repr: it holds a password hash.
class Change:
    """What a line changes of a user who exists; `role_names` None: nothing of their roles."""

    user: User
    columns: dict[str, Any]
    role_names: frozenset[str] | None
    password: str

    def __bool__(self) -> bool:
        return bool(self.columns or self.password) or self.role_names is not None


@dataclass
class Batch:
    """Some lines of the file, decided on."""

    lines: int = 0
    bad: int = 0
    unchanged: int = 0
    new: list[UserLine] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)

    @property
    def role_names(self) -> set[str]:
        names = [line.role_names for line in self.new] + [change.role_names or frozenset() for change in self.changes]
        return {*chain.from_iterable(names)}


class Plan:
    """One reading of a file. Bad lines are told to `refuse` with their number and the reason, and left out."""

    def __init__(self, file: BinaryIO, *, update: bool, allow_staff: bool, refuse: Refuse) -> None:
        self._file = file
        self._update = update
        self._allow_staff = allow_staff
        self._refuse = refuse
        self._seen: dict[str | UUID, int] = {}

    def batches(self, *, locked: bool = False) -> Iterator[Batch]:
        """`locked`: the rows that may change are held to the end of the caller's transaction."""
        numbered = _numbered(self._file)
        while some := list(islice(numbered, BATCH)):
            batch = Batch(lines=len(some))
            lines = [(number, line) for number, text in some if (line := self._parse(batch, number, text)) is not None]
            there = _There([line.user for _, line in lines], locked=locked and self._update)
            for number, line in lines:
                try:
                    self._decide(batch, line, there=there)
                    self._remember(number, line.user)
                except BadLine as error:
                    self._report(batch, number, error)
            yield batch

    def _parse(self, batch: Batch, number: int, text: bytes) -> UserLine | None:
        try:
            return user_lines.parse(text, allow_staff=self._allow_staff)
        except BadLine as error:
            self._report(batch, number, error)
            return None

    def _report(self, batch: Batch, number: int, error: BadLine) -> None:
        batch.bad += 1
        self._refuse(number, str(error))

    def _decide(self, batch: Batch, line: UserLine, *, there: "_There") -> None:
        """Raises BadLine for what is another user's, in the file or here."""
        for name, value in _claims(line.user, with_id="id" in line.given):
            if value in self._seen:
                raise BadLine(f"the {name} is also in line {self._seen[value]}")
        user = there.find(line)
        if user is None:
            batch.new.append(line)
            return
        change = _change(line, user) if self._update else None
        if not change:
            batch.unchanged += 1
            return
        # SECURITY: or a file from elsewhere gives the account of a member of staff another address, and to its owner the account.
        if not self._allow_staff and (user.is_staff or user.is_superuser):
            raise BadLine("the user is staff here, and is changed with --allow-staff alone")
        batch.changes.append(change)

    def _remember(self, number: int, user: User) -> None:
        self._seen |= {value: number for _, value in _claims(user, with_id=True)}


class _There:
    """The users that some lines may mean."""

    def __init__(self, wanted: list[User], *, locked: bool) -> None:
        rows = User.objects.filter(pk__in=_keys_of(wanted)).order_by("pk").prefetch_related("roles")
        found: list[User] = [*(rows.select_for_update(no_key=True) if locked else rows)]
        self._by_id = {user.pk: user for user in found}
        self._by_username = {user.username_canonical: user for user in found}
        self._by_email = {user.email_canonical: user for user in found if user.email_canonical}

    def find(self, line: UserLine) -> User | None:
        """By id when the line has one, else by user name. Raises BadLine when the line has what is another's."""
        named, mailed = self._by_username.get(line.user.username_canonical), self._by_email.get(line.user.email_canonical or "")
        meant = self._by_id.get(line.user.pk) if "id" in line.given else named
        for name, owner in (("user name", named), ("e-mail address", mailed)):
            if owner is not None and owner != meant:
                raise BadLine(f"the {name} is that of another user, {owner.pk}")
        # SECURITY: or whoever registers a name first keeps it from its owner, and gets what the file gives them.
        if meant is not None and meant.awaits_confirmation:
            raise BadLine("somebody has registered this user name and not confirmed an e-mail address yet")
        return meant


def _keys_of(wanted: list[User]) -> set[UUID]:
    """A statement for each column: of one with OR, PostgreSQL would read the whole table for every batch."""
    columns = ("pk", "username_canonical", "email_canonical")
    values = {column: [value for user in wanted if (value := getattr(user, column)) is not None] for column in columns}
    return {
        key
        for column in columns
        for key in User.objects.filter(**{f"{column}__in": values[column]}).order_by().values_list("pk", flat=True)
    }


def _claims(user: User, *, with_id: bool) -> list[tuple[str, str | UUID]]:
    """What only one line may have. An e-mail address has an @ and a user name has none, so the two never meet."""
    claims: list[tuple[str, str | UUID | None]] = [
        ("id", user.pk if with_id else None),
        ("user name", user.username_canonical),
        ("e-mail address", user.email_canonical),
    ]
    return [(name, value) for name, value in claims if value is not None]


def _change(line: UserLine, user: User) -> Change:
    columns: dict[str, Any] = {}
    for name in FOLLOWED:
        if name in line.given and getattr(line.user, name) != getattr(user, name):
            columns[name] = getattr(line.user, name)
            if name in {"username", "email"}:
                columns[f"{name}_canonical"] = getattr(line.user, f"{name}_canonical")
    changes_roles = "roles" in line.given and line.role_names != frozenset(role.name for role in user.roles.all())
    return Change(user, columns, line.role_names if changes_roles else None, "" if user.has_usable_password() else line.user.password)


def _numbered(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, with their numbers. Of one that is too long only the beginning is held."""
    file.seek(0)
    number, limit = 0, user_lines.MAX_BYTES + 1
    while text := file.readline(limit):
        number += 1
        rest = text
        while len(rest) == limit and not rest.endswith(b"\n"):
            rest = file.readline(limit)
        if number == 1:
            text = text.removeprefix(_BYTE_ORDER_MARK)
        if text.strip():
            yield number, text
