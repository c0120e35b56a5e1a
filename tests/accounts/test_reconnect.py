"""A statement is repeated once when its connection was lost, and only then (accounts/reconnect.py)."""

import psycopg
import pytest
from django.db import DatabaseError, IntegrityError, InterfaceError, OperationalError, connection, transaction

from accounts.models import Role, User
from accounts.reconnect import with_reconnect

pytestmark = pytest.mark.django_db(transaction=True)


class Operation:
    """Counts its calls, and does something first before the first of them."""

    def __init__(self, run, *, first=lambda: None):
        self.run, self.first, self.calls = run, first, 0

    def __call__(self):
        self.calls += 1
        if self.calls == 1:
            self.first()
        return self.run()


def execute(*statements):
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


# --- On either database ------------------------------------------------------------------------


def test_an_operation_that_works_runs_once(alice):
    operation = Operation(User.objects.count)

    assert with_reconnect(operation) == 1
    assert operation.calls == 1


def test_the_first_operation_of_a_process_connects(alice):
    connection.close()

    assert with_reconnect(Operation(User.objects.count)) == 1


def fails_without_losing_the_connection():
    """An OperationalError, which a lost connection is too: too slow a statement here, a missing table there."""
    if connection.vendor == "postgresql":
        execute("SET statement_timeout = 10", "SELECT pg_sleep(60)")
    else:
        execute("SELECT * FROM no_such_table")


def test_an_error_that_lost_no_connection_is_raised_unchanged():
    operation = Operation(fails_without_losing_the_connection)

    with pytest.raises(OperationalError, match=r"statement timeout|no such table"):
        with_reconnect(operation)

    assert operation.calls == 1
    connection.close()  # and the timeout with it


def test_a_refusal_of_the_database_is_raised_unchanged():
    Role.objects.create(name="author")
    operation = Operation(lambda: Role.objects.create(name="author"))

    with pytest.raises(IntegrityError):
        with_reconnect(operation)

    assert operation.calls == 1


def test_an_error_of_the_operation_itself_is_raised_unchanged():
    operation = Operation(lambda: User.objects.get(username="nobody"))

    with pytest.raises(User.DoesNotExist):
        with_reconnect(operation)

    assert operation.calls == 1


# --- Lost --------------------------------------------------------------------------------------


def end_our_session():
    """PostgreSQL ends our connection, as it does when it restarts; asked for through another one."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (backend,) = cursor.fetchone()
    parameters = connection.get_connection_params()
    with psycopg.connect(**{name: parameters[name] for name in ("host", "port", "user", "dbname")}, autocommit=True) as other:
        (was_ended,) = other.execute("SELECT pg_terminate_backend(%s, 5000)", [backend]).fetchone()
    assert was_ended


def close_our_handle():
    connection.ensure_connection()
    connection.connection.close()


if connection.vendor == "postgresql":

    def test_after_a_lost_connection_the_operation_is_repeated_once(alice):
        operation = Operation(User.objects.count, first=end_our_session)

        assert with_reconnect(operation) == 1
        assert operation.calls == 2

    def test_after_a_lost_connection_a_write_is_done(alice):
        operation = Operation(lambda: User.objects.filter(pk=alice.pk).update(name="Alice Smith"), first=end_our_session)

        assert with_reconnect(operation) == 1
        assert User.objects.get(pk=alice.pk).name == "Alice Smith"

    def test_a_connection_that_was_lost_long_ago_is_noticed_by_the_next_operation(alice):
        end_our_session()
        operation = Operation(User.objects.count)

        assert with_reconnect(operation) == 1
        assert operation.calls == 2

    def test_a_server_that_may_no_longer_write_is_left_for_another(alice):
        """After a failover the old connection answers still, and leads to what is a replica now."""
        execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
        operation = Operation(lambda: User.objects.filter(pk=alice.pk).update(name="Alice Smith"))

        assert with_reconnect(operation) == 1
        assert operation.calls == 2

    def test_a_lost_connection_costs_no_client_its_answer(sign_in, refresh, client):
        answer = sign_in()
        for _ in range(2):
            end_our_session()
            answer = refresh(answer.body["refresh_token"])
            assert answer.status == 200
        end_our_session()
        assert sign_in().status == 200
        end_our_session()
        assert client.get("/api/v1/me", HTTP_AUTHORIZATION=f"Bearer {answer.body['access_token']}").status_code == 200

    def test_readiness_tells_of_a_server_that_may_not_write(client, signing_key):
        execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")

        read_only, renewed = client.get("/ready"), client.get("/ready")

        assert (read_only.status_code, read_only.json()["database"]) == (503, "read-only")
        assert renewed.status_code == 200

    def test_a_connection_that_the_driver_has_closed_is_made_again(alice):
        operation = Operation(User.objects.count, first=close_our_handle)

        assert with_reconnect(operation) == 1
        assert operation.calls == 2

    def test_the_operation_is_repeated_only_once(alice):
        operation = Operation(lambda: (end_our_session(), User.objects.count()))

        with pytest.raises(OperationalError):
            with_reconnect(operation)

        assert operation.calls == 2
        connection.close()

    def test_inside_a_transaction_nothing_is_repeated(alice):
        operation = Operation(lambda: User.objects.filter(pk=alice.pk).update(name="mallory"), first=end_our_session)

        with pytest.raises((OperationalError, InterfaceError)), transaction.atomic():  # noqa: PT012 - the write before is the point
            Role.objects.create(name="a part of the same transaction")
            with_reconnect(operation)

        assert operation.calls == 1
        assert not Role.objects.filter(name="a part of the same transaction").exists()
        assert User.objects.get(pk=alice.pk).name == ""

else:

    def test_sqlite_has_no_connection_to_lose_so_nothing_is_repeated(alice):
        operation = Operation(User.objects.count, first=close_our_handle)

        with pytest.raises(DatabaseError):
            with_reconnect(operation)

        assert operation.calls == 1
        connection.close()
