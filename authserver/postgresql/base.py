"""Django's PostgreSQL for a server: its connections give up an answer that does not come in time (authserver.patience)."""

import time
from typing import Any

from django.db.backends.postgresql import base
from psycopg import Connection, OperationalError
from psycopg.abc import RV, PQGen
from psycopg.errors import _WaitTimeout
from psycopg.waiting import READY_NONE

from authserver.patience import STATEMENT_SECONDS, patience


class DatabaseWrapper(base.DatabaseWrapper):
    """Takes the place of Django's own, as the ENGINE of a process that serves."""

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        if patience.left() <= 0:
            raise OperationalError("the request has no time left for a connection")
        began_at = time.monotonic()
        try:
            connection = super().get_new_connection(conn_params)
        except OperationalError as error:
            # Of several hosts the last one's error is raised, with the words of all: one that is silent would hold up each request.
            if "timeout expired" in str(error):
                patience.give_up()
            raise
        finally:
            patience.note(time.monotonic() - began_at)
        connection.wait = _Wait(connection)
        return connection

    def _set_autocommit(self, autocommit: bool) -> None:
        """Nothing is sent to the server for it: it is never late, and no answer."""
        judging = self.connection.wait
        self.connection.wait = judging.plain
        try:
            super()._set_autocommit(autocommit)  # type: ignore[misc]
        finally:
            self.connection.wait = judging


class _Wait:
    """In the place of psycopg's `Connection.wait`, through which all that is asked of the server goes."""

    def __init__(self, connection: Connection[Any]) -> None:
        self._pgconn, self.plain = connection.pgconn, connection.wait

    def __call__(self, generator: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """What `generator` returns. Raises OperationalError, with the connection closed, when the time is up."""
        left = patience.left() if timeout is None else timeout
        asked_at = began_at = time.monotonic()
        try:
            while left > 0:
                try:
                    answer = self.plain(generator, interval, min(left, patience.until_slow() or left))
                except _WaitTimeout:
                    waited = time.monotonic() - began_at
                    patience.note(waited)  # while others can be told of it
                    left, began_at = left - waited, began_at + waited
                    generator = _resumed(generator)
                else:
                    patience.note_answer()
                    return answer
        finally:
            patience.note(time.monotonic() - began_at)
        if time.monotonic() - asked_at >= STATEMENT_SECONDS:  # and not because its request had waited before
            patience.give_up()
        # What was asked may be done later or never; whoever used this connection again would read the answer to it.
        self._pgconn.finish()
        raise OperationalError("no answer in time")


def _resumed(generator: PQGen[RV]) -> PQGen[RV]:
    """What is left of one that was waited for in vain. To wait begins with `next`, and who still sends takes no None for an answer."""
    try:
        state = generator.send(READY_NONE)
        while True:
            state = generator.send((yield state))
    except StopIteration as end:
        answer: RV = end.value
        return answer
