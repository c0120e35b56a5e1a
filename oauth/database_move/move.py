"""The whole move: every row of every table in one transaction, which is kept when both sides read alike."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.db import DatabaseError, IntegrityError
from django.db.backends.base.base import BaseDatabaseWrapper

from oauth.database_move import databases, target
from oauth.database_move.databases import NotUsable
from oauth.database_move.tables import Row, Table, Unfit, all_tables

_SUM = 1 << 256
_SHOW_EVERY = 500
_OLD, _NEW = "The database to be moved", "The database of --to"

# Of a label and a total, for a line on a terminal.
BeginProgress = Callable[[str, int], Callable[[int], None]]
RowsOf = Callable[[Table], Iterator[Row]]
TakeRows = Callable[[Table, Iterable[Row]], None]


class NothingMoved(Exception):
    """Why. The new database is as it was, but for its migrations; the old one is never written to."""


class Different(NothingMoved):
    """What was read back is not what was written: `report` says where."""

    def __init__(self, report: "Report") -> None:
        super().__init__("the two databases do not read alike")
        self.report = report


@dataclass
class Tally:
    """How many rows there are, and the sum of their digests, which does not depend on their order."""

    rows: int = 0
    sum: int = 0

    def add(self, compared: bytes) -> None:
        self.rows += 1
        self.sum = (self.sum + int.from_bytes(hashlib.sha256(compared).digest())) % _SUM

    @property
    def digest(self) -> str:
        return f"{self.sum:064x}"


@dataclass
class Report:
    """By the name of the table: what was read in the old database, and what was read back in the new one.

    `not_moved` are tables of the old one that no app of this server has.
    """

    source: dict[str, Tally]
    target: dict[str, Tally] = field(default_factory=dict)
    not_moved: list[str] = field(default_factory=list)

    @property
    def differences(self) -> list[str]:
        return [name for name, tally in self.source.items() if self.target.get(name) != tally]


def run(*, source: dict[str, Any], to: dict[str, Any], is_dry: bool, begin: BeginProgress) -> Report:
    """Copy everything; both are databases as Django's settings. Raises NothingMoved, and Different, which is one.

    A dry run reads and checks all rows, and writes nothing.
    """
    tables = all_tables()
    names = [table.name for table in tables]
    with _refusals_told(_OLD), databases.source_opened(source) as left:
        databases.ensure_alone(left)
        _ensure_up_to_date(left)
        with databases.held_still(left, tables=names, mode="SHARE"):
            total = sum(table.count(left) for table in tables)
            not_moved = target.unknown_tables(left, tables=tables)
            with _refusals_told(_NEW), databases.target_opened(to) as entered:
                target.ensure_empty(entered, tables=tables)
                if is_dry:
                    report = Report(source=_tallies(_rows_left(left), tables, take=_look_at, progress=begin("reading", total)))
                else:
                    target.migrate(entered)
                    report = _copy_all(left, entered, tables=tables, total=total, begin=begin)
    report.not_moved = not_moved
    return report


def _copy_all(left: BaseDatabaseWrapper, entered: BaseDatabaseWrapper, *, tables: list[Table], total: int, begin: BeginProgress) -> Report:
    with databases.held_still(entered, tables=[table.name for table in tables], mode="EXCLUSIVE"):
        target.ensure_empty(entered, tables=tables)  # again, now that nobody else can write
        target.clear(entered)
        fill = partial(target.fill, entered)
        report = Report(source=_tallies(_rows_left(left), tables, take=fill, progress=begin("copying", total)))
        for table in tables:
            with _refusals_told(f"{_OLD}, {table.name}"):
                last = target.last_given(left, table) if table.serial else 0
            if last:
                target.count_on_from(entered, table, last)
        _ensure_nothing_dangles(entered)
        report.target = _tallies(lambda table: table.rows(entered), tables, take=_look_at, progress=begin("reading back", total))
        if report.differences:
            raise Different(report)
        if entered.vendor == "postgresql":
            target.analyze(entered, tables=tables)
    return report


def _tallies(rows_of: RowsOf, tables: list[Table], *, take: TakeRows, progress: Callable[[int], None]) -> dict[str, Tally]:
    """Every table, tallied while `take` goes through its rows."""
    tallies = {table.name: Tally() for table in tables}
    for table in tables:
        done = sum(tally.rows for tally in tallies.values())
        take(table, _tallied(table, rows_of(table), tallies[table.name], done=done, progress=progress))
    progress(sum(tally.rows for tally in tallies.values()))
    return tallies


def _look_at(table: Table, rows: Iterable[Row]) -> None:
    for _ in rows:
        pass


def _rows_left(left: BaseDatabaseWrapper) -> RowsOf:
    """The rows of a table of the old database. They are read while the new one is written, and that is not at fault."""

    def rows_of(table: Table) -> Iterator[Row]:
        with _refusals_told(f"{_OLD}, {table.name}"):
            yield from table.rows(left)

    return rows_of


def _tallied(table: Table, rows: Iterable[Row], tally: Tally, *, done: int, progress: Callable[[int], None]) -> Iterator[Row]:
    """The same rows. `done` are those of the tables before."""
    for row in rows:
        tally.add(table.compared(row))
        if tally.rows % _SHOW_EVERY == 0:
            progress(done + tally.rows)
        yield row


def _ensure_up_to_date(left: BaseDatabaseWrapper) -> None:
    if unknown := databases.unknown_migrations(left):
        raise NotUsable(f"it was migrated by another version, which knows {', '.join(unknown)}")
    if databases.pending_migrations(left):
        raise NotUsable("it is not up to date. Run manage.py migrate first")


def _ensure_nothing_dangles(entered: BaseDatabaseWrapper) -> None:
    try:
        entered.check_constraints()
    except IntegrityError as error:
        # SQLite's words hold the key of the row, which may be a digest.
        reason = f" ({databases.told(error)})" if error.__cause__ else ""
        raise NotUsable(f"a row refers to one that is not there{reason}") from error


@contextmanager
def _refusals_told(database: str) -> Iterator[None]:
    try:
        yield
    except NotUsable as error:
        raise NothingMoved(f"{database}: {error}.") from error
    except Unfit as error:
        raise NothingMoved(f"A value that cannot be moved. {error}.") from error
    except DatabaseError as error:
        raise NothingMoved(f"{database}: {databases.told(error)}.") from error
