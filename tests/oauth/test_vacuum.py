"""What a vacuum writes goes on to the disk as it is written, by a setting of the database: a vacuum has no others."""

from importlib import import_module

import pytest
from django.db import connection

from oauth.doctor import database
from oauth.doctor.findings import Level

pytestmark = [pytest.mark.django_db, pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no such settings")]
migration = import_module("oauth.migrations.0014_what_a_vacuum_writes_goes_on_to_the_disk")


@pytest.fixture
def cursor(db):
    with connection.cursor() as cursor:
        yield cursor


@pytest.fixture
def given(cursor):
    """What the database has been given."""

    def ask():
        cursor.execute(
            "SELECT setconfig FROM pg_db_role_setting JOIN pg_database d ON setdatabase = d.oid WHERE datname = current_database()"
        )
        return [each for (setting,) in cursor.fetchall() for each in setting]

    return ask


@pytest.fixture
def _not_migrated(cursor):
    cursor.execute(f"ALTER DATABASE {connection.ops.quote_name(connection.settings_dict['NAME'])} RESET backend_flush_after")


def migrate():
    migration.flush_as_it_goes(None, connection.schema_editor())


def told():
    [finding] = database.autovacuum()
    return finding.level


def test_the_migrations_have_set_it(given):
    assert given() == ["backend_flush_after=32"]
    assert told() is Level.OK


@pytest.mark.usefixtures("_not_migrated")
def test_a_database_that_lacks_it_is_told_with_the_statement_that_mends_it(cursor, given):
    [finding] = database.autovacuum()
    assert finding.level is Level.WARN
    mend = finding.mend.removeprefix("As its owner: ").partition(";")[0]

    cursor.execute(mend)

    assert given() == ["backend_flush_after=256kB"]
    assert told() is Level.OK


@pytest.mark.usefixtures("_not_migrated")
def test_who_does_not_own_the_database_leaves_it_as_it_is(cursor, given):
    cursor.execute("CREATE ROLE lodger; SET LOCAL ROLE lodger")

    migrate()

    assert given() == []
    assert told() is Level.WARN


@pytest.mark.usefixtures("_not_migrated")
@pytest.mark.parametrize("own", ["0", "'1MB'"])
def test_what_a_connection_has_set_for_itself_is_not_what_a_vacuum_has(cursor, given, own):
    cursor.execute(f"SET LOCAL backend_flush_after = {own}")
    assert told() is Level.WARN

    migrate()

    assert given() == ["backend_flush_after=32"]
    assert told() is Level.OK
