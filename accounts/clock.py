"""What time it is: for this process, and inside an SQL statement.

Stored instants are stamped and compared by the database's clock, so that processes with different
clocks agree. SQLite has none of its own: there the process's stands in. `offset` moves both.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import DateTimeField, Expression
from django.db.models.sql.compiler import SQLCompiler

from accounts import statements

NONE = timedelta(0)
offset = NONE


def now() -> datetime:
    """The process's clock, for the times inside tokens and for the states of keys."""
    return datetime.now(UTC) + offset


def database_now() -> datetime:
    """The database's clock, for what a process whose own clock is wrong must not do: it cannot be undone."""
    if statements.vendor() != "postgresql":
        return now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        [at] = cursor.fetchone()
    return at + offset  # type: ignore[no-any-return] # cursors give anything


def read(value: datetime | str) -> datetime:
    """An instant as raw SQL gives it: SQLite's is text, or has no zone, and is in UTC."""
    parsed = datetime.fromisoformat(value) if isinstance(value, str) else value
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def instant_sql(name: str) -> str:
    """An SQL expression for the instant whose parameter is called `name`.

    The clock is the statement's, not the transaction's: a row that was waited for is stamped after the wait.
    """
    if statements.vendor() == "postgresql":
        return f"(clock_timestamp() + %({name})s * interval '1 second')"
    return f"%({name})s"


def instant_parameter(*, plus: timedelta = NONE) -> Any:
    """The value of that parameter: an instant `plus` from now."""
    if statements.vendor() == "postgresql":
        return (offset + plus).total_seconds()
    return connection.ops.adapt_datetimefield_value(now() + plus)


def epoch_sql(name: str) -> str:
    """An SQL expression for the same instant as seconds since 1970, for numbers inside JSON."""
    if statements.vendor() == "postgresql":
        return f"(extract(epoch FROM clock_timestamp())::float8 + %({name})s)"
    return f"%({name})s"


def epoch_parameter(*, plus: timedelta = NONE) -> float:
    if statements.vendor() == "postgresql":
        return (offset + plus).total_seconds()
    return (now() + plus).timestamp()


def steady_sql(name: str) -> str:
    """As instant_sql, by when the statement began: the same for every row, so an index is searched for it. For what goes by age alone."""
    return instant_sql(name).replace("clock_timestamp()", "statement_timestamp()")


class Instant(Expression):
    """An instant `plus` from now, by the statement's clock, for the ORM."""

    def __init__(self, *, plus: timedelta = NONE) -> None:
        super().__init__(output_field=DateTimeField())
        self.plus = plus

    def as_sql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> tuple[str, tuple[Any, ...]]:
        return "%s", (connection.ops.adapt_datetimefield_value(now() + self.plus),)

    def as_postgresql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> tuple[str, tuple[Any, ...]]:
        return "(clock_timestamp() + %s * interval '1 second')", ((offset + self.plus).total_seconds(),)


class SteadyInstant(Instant):
    """The same by when the statement began (steady_sql): for a range of an index, which a clock that runs on cannot begin."""

    def as_postgresql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> tuple[str, tuple[Any, ...]]:
        return "(statement_timestamp() + %s * interval '1 second')", ((offset + self.plus).total_seconds(),)
