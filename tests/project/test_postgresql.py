"""What a serving process's connections to PostgreSQL wait for, and for how long."""

import os
import signal
import socket
from contextlib import ExitStack, closing

import pytest
from django.db import OperationalError, connection

from authserver.patience import STATEMENT_SECONDS, patience
from authserver.postgresql.base import DatabaseWrapper

pytestmark = [pytest.mark.skipif(not os.environ.get("TEST_DB_URL"), reason="PostgreSQL's"), pytest.mark.django_db]


@pytest.fixture(autouse=True)
def _answers_again():
    yield
    patience.note_answer()


@pytest.fixture
def serving():
    with closing(DatabaseWrapper(connection.settings_dict, alias="default")) as wrapper:
        wrapper.inc_thread_sharing()
        yield wrapper


def ask(wrapper, seconds):
    with wrapper.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(%s)", [seconds])


def test_an_answer_that_does_not_come_is_given_up_and_the_connection_with_it(serving):
    with patience.reading_for(0.2), pytest.raises(OperationalError, match="no answer in time"):
        ask(serving, 1)

    assert serving.connection.closed


def test_who_reads_much_is_waited_for(serving):
    with patience.reading_for(2 * STATEMENT_SECONDS):
        ask(serving, STATEMENT_SECONDS + 0.1)


def test_a_request_that_was_late_for_one_statement_does_not_tell_that_the_database_hangs(serving):
    with patience.serving(is_page=False):
        patience.note(4.8)
        with pytest.raises(OperationalError):
            ask(serving, 1)

    with patience.serving(is_page=False):
        assert patience.left() == STATEMENT_SECONDS


def test_a_statement_that_is_not_even_taken_is_given_up_as_one_that_is_not_answered(serving):
    serving.ensure_connection()
    backend = serving.connection.info.backend_pid
    os.kill(backend, signal.SIGSTOP)
    try:
        with patience.serving(is_page=False), serving.cursor() as cursor, pytest.raises(OperationalError, match="no answer in time"):
            cursor.execute("SELECT length(%s)", ["x" * 20_000_000])  # more than the kernel takes in
    finally:
        os.kill(backend, signal.SIGCONT)

    assert serving.connection.closed


def test_what_is_not_sent_to_the_server_is_neither_an_answer_nor_late(serving):
    serving.ensure_connection()
    patience.give_up()

    with patience.serving(is_page=False):
        serving.set_autocommit(False)
        serving.set_autocommit(True)
        assert patience.left() == 0

    assert not serving.connection.closed


@pytest.mark.parametrize("silent_one", [0, 1])
def test_one_silent_host_among_others_that_refuse_makes_requests_wait_no_more(silent_one):
    with ExitStack() as open_ones:
        silent, closed = (open_ones.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2))
        ports = [each.getsockname()[1] for each in (silent, closed)]
        closed.close()
        ports = ports[::-1] if silent_one else ports
        hosts = {"HOST": "127.0.0.1,127.0.0.1", "PORT": ",".join(map(str, ports))}
        wrapper = DatabaseWrapper(connection.settings_dict | hosts, alias="default")

        with patience.serving(is_page=False), pytest.raises(OperationalError):
            wrapper.ensure_connection()

    with patience.serving(is_page=False):
        assert patience.left() == 0
