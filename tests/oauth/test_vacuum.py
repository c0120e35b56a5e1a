"""What a vacuum writes goes on to the disk as it is written, by a setting of the database: a vacuum has no others."""

from importlib import import_module

import pytest
from django.db import connection

pytestmark = [pytest.mark.django_db, pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no such settings")]
migration = import_module("oauth.migrations.0014_what_a_vacuum_writes_goes_on_to_the_disk")


@pytest.fixture
def cursor(db):
    with connection.cursor() as cursor:
        yield cursor


@pytest.fixture
def settings_of_the_database(cursor):
    def ask():
        cursor.execute(
            "SELECT setconfig FROM pg_db_role_setting JOIN pg_database d ON setdatabase = d.oid WHERE datname = current_database()"
        )
        return [each for (setting,) in cursor.fetchall() for each in setting]

    return ask


def test_the_migrations_have_set_it(settings_of_the_database):
    assert settings_of_the_database() == ["backend_flush_after=32"]


def test_who_does_not_own_the_database_leaves_it_as_it_is(cursor, settings_of_the_database):
    cursor.execute(f"ALTER DATABASE {connection.ops.quote_name(connection.settings_dict['NAME'])} RESET backend_flush_after")
    cursor.execute("SET LOCAL backend_flush_after = 0")
    cursor.execute("CREATE ROLE lodger; SET LOCAL ROLE lodger")

    migration.flush_as_it_goes(None, connection.schema_editor())

    assert settings_of_the_database() == []


@pytest.mark.parametrize(("already", "expected"), [("0", ["backend_flush_after=32"]), ("'1MB'", [])])
def test_who_has_set_it_for_the_whole_server_knows_better(cursor, settings_of_the_database, already, expected):
    cursor.execute(f"ALTER DATABASE {connection.ops.quote_name(connection.settings_dict['NAME'])} RESET backend_flush_after")
    cursor.execute(f"SET LOCAL backend_flush_after = {already}")

    migration.flush_as_it_goes(None, connection.schema_editor())

    assert settings_of_the_database() == expected
