"""Every table of the server, and what the values of its columns are, whichever database they lie in."""

import ipaddress
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import Any
from uuid import UUID

from django.apps import apps
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field, Model

from accounts import clock

BATCH = 2000
_SHOWN_KEYS = ("uuid", "integer")  # others may be digests

Row = list[Any]


class Unfit(ValueError):
    """A value that its column does not take; SQLite took it. The message does not hold it."""


@dataclass(frozen=True)
class Kind:
    """`read` makes a Python value of what either database gives. None stands for the value as it is in the other two.

    `for_sqlite` is what SQLite keeps, `compared` what is compared, in JSON.
    """

    name: str
    read: Callable[[Any], Any]
    compared: Callable[[Any], Any] | None = None
    for_sqlite: Callable[[Any], Any] | None = None


@dataclass(frozen=True)
class Column:
    name: str
    kind: Kind
    max_length: int | None = None

    def reader(self) -> Callable[[Any], Any]:
        """Raises ValueError, and Unfit where it can say more, for a value that is not NULL."""
        read, most = self.kind.read, self.max_length
        if most is None:
            return read

        def read_bounded(raw: Any) -> Any:
            value = read(raw)
            if len(value) > most:
                raise Unfit(f"is longer than {most} characters")
            return value

        return read_bounded


@dataclass(frozen=True)
class Table:
    """`serial` is the column whose values the database counts out, if there is one."""

    name: str
    columns: tuple[Column, ...]
    key: str
    serial: str | None

    def count(self, connection: BaseDatabaseWrapper) -> int:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM {_quoted(connection, self.name)}")  # noqa: S608 - a name of ours
            return int(cursor.fetchone()[0])

    def rows(self, connection: BaseDatabaseWrapper) -> Iterator[Row]:
        """All rows, in any order, in a transaction of the caller. Raises Unfit."""
        sql = f"SELECT {self.column_list(connection)} FROM {_quoted(connection, self.name)}"  # noqa: S608 - names of ours
        with connection.chunked_cursor() as cursor:
            cursor.execute(sql)
            while batch := cursor.fetchmany(BATCH):
                for raw in batch:
                    yield self._read(raw)

    def column_list(self, connection: BaseDatabaseWrapper) -> str:
        return ", ".join(_quoted(connection, column.name) for column in self.columns)

    def compared(self, row: Row) -> bytes:
        """The row as bytes that are the same for the same values, whichever database they came from."""
        return json.dumps(_changed(row, self._to_compare)).encode()

    def for_sqlite(self, row: Row) -> list[Any]:
        return _changed(row, self._to_keep)

    @cached_property
    def _readers(self) -> list[Callable[[Any], Any]]:
        return [column.reader() for column in self.columns]

    @cached_property
    def _to_compare(self) -> list[Callable[[Any], Any] | None]:
        return [column.kind.compared for column in self.columns]

    @cached_property
    def _to_keep(self) -> list[Callable[[Any], Any] | None]:
        return [column.kind.for_sqlite for column in self.columns]

    def _read(self, raw: Sequence[Any]) -> Row:
        try:
            return [None if value is None else read(value) for read, value in zip(self._readers, raw, strict=True)]
        except ValueError:
            raise Unfit(self._complaint(raw)) from None

    def _complaint(self, raw: Sequence[Any]) -> str:
        """Which value it is, told once more, for the whole row is read in one go."""
        found = {column.name: (column, value) for column, value in zip(self.columns, raw, strict=True)}
        key, key_value = found[self.key]
        row = f" of the row {key_value}" if key.kind.name in _SHOWN_KEYS else ""
        for column, value in found.values():
            try:
                _ = None if value is None else column.reader()(value)
            except Unfit as unfit:
                return f"{self.name}: {column.name}{row} {unfit}"
            except ValueError:
                return f"{self.name}: {column.name}{row} is no {column.kind.name}"
        raise AssertionError(self.name)


def all_tables() -> list[Table]:
    """Those of every app, the tables between two models included. Raises KeyError for a column of a kind that is not known here."""
    models = [model for model in apps.get_models(include_auto_created=True) if model._meta.managed and not model._meta.proxy]
    return sorted((_table(model) for model in models), key=lambda table: table.name)


def _table(model: type[Model]) -> Table:
    meta = model._meta
    serial = meta.auto_field
    return Table(
        name=meta.db_table,
        columns=tuple(_column(field) for field in meta.local_concrete_fields),
        key=str(meta.pk.column),
        serial=None if serial is None else serial.column,
    )


def _column(field: Field[Any, Any]) -> Column:
    name, kept = str(field.column), field
    while kept.is_relation:
        kept = kept.target_field  # type: ignore[attr-defined] # of foreign keys
    kind = _KINDS[kept.get_internal_type()]
    return Column(name, kind, max_length=kept.max_length if kind in (_TEXT, _BYTES) else None)


def _changed(row: Row, changes: list[Callable[[Any], Any] | None]) -> list[Any]:
    return [value if change is None or value is None else change(value) for value, change in zip(row, changes, strict=True)]


def _quoted(connection: BaseDatabaseWrapper, name: str) -> str:
    return connection.ops.quote_name(name)


# --- What there is in a column -------------------------------------------------------------------


def _integer(raw: Any) -> int:
    if not isinstance(raw, int):
        raise Unfit("is no integer")
    return raw


def _flag(raw: Any) -> bool:
    if raw not in (0, 1):
        raise Unfit("is neither true nor false")
    return bool(raw)


def _text(raw: Any) -> str:
    if not isinstance(raw, str):
        raise Unfit("is no text")
    if "\0" in raw:
        raise Unfit("holds a NUL character, which PostgreSQL does not keep")
    return raw


def _bytes(raw: Any) -> bytes:
    if isinstance(raw, str | int):
        raise Unfit("is no bytes")
    return bytes(raw)


def _instant(raw: Any) -> datetime:
    return clock.read(raw).astimezone(UTC)


def _uuid(raw: Any) -> UUID:
    return raw if isinstance(raw, UUID) else UUID(_text(raw))


def _json(raw: Any) -> str:
    """As it is written, so that the order of its members stays."""
    json.loads(_text(raw))
    return str(raw)


def _json_compared(text: str) -> str:
    """PostgreSQL writes the members in an order of its own, and 1e2 as 100."""
    return json.dumps(json.loads(text, parse_float=_number), sort_keys=True)


def _number(text: str) -> float | int:
    value = float(text)
    return int(value) if value.is_integer() else value


@lru_cache(maxsize=10_000)
def _address_compared(text: str) -> str:
    """PostgreSQL writes each address in one way."""
    return str(ipaddress.ip_address(text))


def _address(raw: Any) -> str:
    _address_compared(_text(raw))
    return str(raw)


_INTEGER, _FLAG, _TEXT = Kind("integer", _integer), Kind("flag", _flag), Kind("text", _text)
_BYTES = Kind("bytes", _bytes, compared=bytes.hex)
_INSTANT = Kind(
    "instant", _instant, compared=datetime.isoformat, for_sqlite=lambda instant: str(instant.replace(tzinfo=None))
)  # as Django writes it there
_KINDS = {
    **dict.fromkeys(("AutoField", "BigAutoField", "IntegerField", "PositiveIntegerField"), _INTEGER),
    **dict.fromkeys(("PositiveSmallIntegerField", "PositiveBigIntegerField"), _INTEGER),
    **dict.fromkeys(("CharField", "TextField"), _TEXT),
    "BooleanField": _FLAG,
    "BinaryField": _BYTES,
    "DateTimeField": _INSTANT,
    "UUIDField": Kind("uuid", _uuid, compared=str, for_sqlite=lambda value: value.hex),
    "JSONField": Kind("json", _json, compared=_json_compared),
    "GenericIPAddressField": Kind("address", _address, compared=_address_compared),
}
