"""What the server's database holds, read past the server."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any
from uuid import UUID

import psycopg

PATIENCE_SECONDS = 5


class Database:
    def __init__(self, url: str) -> None:
        self._url = url
        self.is_postgresql = url.startswith("postgresql:")

    def promise(self) -> str:
        """What it does for what it has committed."""
        if not self.is_postgresql:
            return f"SQLite, journal_mode={self._value('PRAGMA journal_mode')}"
        kept = {name: self._value("SELECT current_setting(%s)", name) for name in ("fsync", "synchronous_commit", "full_page_writes")}
        return "PostgreSQL, " + ", ".join(f"{name}={value}" for name, value in kept.items())

    def generation(self, sid: str) -> int:
        """How often the session was refreshed."""
        generation: int = self._value("SELECT generation FROM oauth_session WHERE id = %s", self._uuid(sid))
        return generation

    def count(self, event: str, *, target: str = "%") -> int:
        count: int = self._value("SELECT count(*) FROM accounts_auditevent WHERE event = %s AND target LIKE %s", event, target)
        return count

    def unrecorded_reuse(self) -> int:
        """How many sessions were ended for reuse without the audit event that tells of it."""
        count: int = self._value(
            "SELECT count(*) FROM oauth_session WHERE revoked_reason = 'refresh_token_reused' AND NOT EXISTS ("
            "SELECT 1 FROM accounts_auditevent WHERE event = 'session:refresh_token:reused'"
            " AND replace(target, '-', '') = replace(CAST(oauth_session.id AS text), '-', ''))"
        )
        return count

    def story_of(self, sid: str) -> str:
        """The session's row and its last events, without digests, for whoever has to find out what happened."""
        row = self._rows(
            "SELECT generation, created_at, refreshed_at, revoked_at, revoked_reason FROM oauth_session WHERE id = %s", self._uuid(sid)
        )
        events = self._rows("SELECT at, event, detail FROM accounts_auditevent WHERE target = %s ORDER BY id DESC LIMIT 5", sid)
        return "\n".join([f"session {sid}: generation, created, refreshed, revoked, reason = {row}", *map(str, events)])

    @contextmanager
    def holding(self, sid: str) -> Iterator[None]:
        """As long as this lasts, whoever would write the session's row waits."""
        if self.is_postgresql:
            with psycopg.connect(self._url) as connection:
                connection.execute("SELECT 1 FROM oauth_session WHERE id = %s FOR UPDATE", [self._uuid(sid)])
                yield
        else:
            with closing(sqlite3.connect(self._path, isolation_level=None)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                yield

    def wait_for_waiters(self) -> None:
        """Until a statement waits for a row; SQLite does not tell, there it is a moment."""
        if self.is_postgresql:
            _wait_until(lambda: self._value(f"{_OTHERS} AND wait_event_type = 'Lock'") > 0)
        else:
            time.sleep(0.1)

    def wait_until_idle(self) -> None:
        """Until no statement runs any more, those included whose sender is dead."""
        if self.is_postgresql:
            _wait_until(lambda: self._value(f"{_OTHERS} AND state <> 'idle'") == 0)

    def wait_for_events(self, event: str, *, target: str, count: int) -> None:
        _wait_until(lambda: self.count(event, target=target) >= count)

    def _value(self, sql: str, *parameters: Any) -> Any:
        ((value,),) = self._rows(sql, *parameters)
        return value

    def _rows(self, sql: str, *parameters: Any) -> list[Any]:
        if self.is_postgresql:
            with psycopg.connect(self._url, autocommit=True) as connection:
                return connection.execute(sql, parameters).fetchall()
        with closing(sqlite3.connect(self._path)) as connection:
            return connection.execute(sql.replace("%s", "?"), parameters).fetchall()

    @property
    def _path(self) -> str:
        return self._url.removeprefix("sqlite:///")

    def _uuid(self, value: str) -> Any:
        return UUID(value) if self.is_postgresql else UUID(value).hex


_OTHERS = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
)


def _wait_until(condition: Callable[[], bool]) -> None:
    """Or until patience is at its end: what the caller looks at next tells."""
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not condition() and time.monotonic() < give_up_at:
        time.sleep(0.002)
