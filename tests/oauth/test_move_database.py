"""Moving to another database: what arrives, what is refused, and that a move is whole or did not happen."""

import io
import ipaddress
import json
import os
import re
import secrets
import shutil
import sqlite3
import sys
import time
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command

from authserver import database_url
from oauth.database_move import databases, move
from oauth.database_move.tables import all_tables
from tests.e2e.servers import migrated_database, migrated_file, new_database
from tests.postgres import postgres

NUMBERS = (1001, 1002, 1003)  # beyond what migrations fill in
TEXT = "tab\there, line\nbreak, back\\slash, \\N, 'quotes', \"more\", ünï 🗝"
JSON = '{"z": [1e2, 1.5, -0.25, 12345678901234567890], "a": {"ключ": "знач\\n", "none": null, "yes": true}}'
ADDRESSES = ("203.0.113.7", "2001:DB8::1", "::ffff:198.51.100.1")
AT = datetime(2026, 11, 30, 8, 45, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _databases_of_its_own(django_db_blocker):
    """Both are none of the tests' databases."""
    with django_db_blocker.unblock():
        yield


@pytest.fixture(scope="module")
def server_url():
    """PostgreSQL: that of the run, or one of this module's."""
    if os.environ.get("TEST_DB_URL"):
        yield os.environ["TEST_DB_URL"]
    else:
        with postgres() as url:
            yield url


@pytest.fixture
def empty(server_url):
    with migrated_database(server_url) as url:
        yield url


@pytest.fixture
def another(server_url):
    with migrated_database(server_url) as url:
        yield url


@pytest.fixture(scope="module")
def untouched(server_url):
    """For who is refused."""
    with migrated_database(server_url) as url:
        yield url


@pytest.fixture(scope="module")
def filled_file(tmp_path_factory):
    """Three rows in each table, the last one with NULL wherever it may be."""
    folder = tmp_path_factory.mktemp("filled")
    migrated_file(folder)
    with closing(sqlite3.connect(folder / "auth.db")) as connection, connection:
        for table in all_tables():
            names = ", ".join(f'"{column.name}"' for column in table.columns)
            places = ", ".join("?" * len(table.columns))
            nullable = {row[1] for row in connection.execute(f"PRAGMA table_info({table.name})") if not row[3]} - {table.key}
            for number in NUMBERS:
                row = [
                    None if number == NUMBERS[-1] and column.name in nullable else value_on_sqlite(column, number)
                    for column in table.columns
                ]
                connection.execute(f"INSERT INTO {table.name} ({names}) VALUES ({places})", row)
        # The last one given is gone, and is not given again.
        connection.execute("INSERT INTO accounts_role (id, name, description) VALUES (5000, 'gone', '')")
        connection.execute("DELETE FROM accounts_role WHERE id = 5000")
    return folder / "auth.db"


@pytest.fixture
def full(filled_file, tmp_path):
    """The URL of a copy of it."""
    shutil.copy(filled_file, tmp_path / "auth.db")
    return f"sqlite:///{tmp_path}/auth.db"


@pytest.fixture
def change(tmp_path):
    """Carry out a statement on the database that is to be moved, whatever its rules are."""

    def run(sql):
        with closing(sqlite3.connect(tmp_path / "auth.db", isolation_level=None)) as connection:
            connection.execute(sql)

    return run


def value_on_sqlite(column, number):
    """By the column's kind and the number alone, so that a key and what refers to it are the same."""
    index = number - NUMBERS[0]
    match column.kind.name:
        case "integer":
            return number
        case "flag":
            return index % 2
        case "text":
            return f"{number} {TEXT}"[: column.max_length]
        case "bytes":
            return bytes([index, *range(256)])[: column.max_length]
        case "instant":
            return str((AT + timedelta(seconds=number, microseconds=index)).replace(tzinfo=None))
        case "uuid":
            return UUID(int=number << 64).hex
        case "json":
            return JSON
        case "address":
            return ADDRESSES[index]
    raise AssertionError(column)


def run(source, to, *, is_dry=False, begin=lambda label, total: lambda done: None):
    return move.run(source=databases.settings_of(source), to=databases.settings_of(to), is_dry=is_dry, begin=begin)


def raw_rows(url):
    """Every table of a database on SQLite as it lies there, apart from what PostgreSQL writes in a form of its own."""
    form = {
        "json": lambda text: json.dumps(json.loads(text.replace("1e2", "100")), sort_keys=True),
        "address": ipaddress.ip_address,
    }
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        found = {}
        for table in all_tables():
            rows = connection.execute(f"SELECT {', '.join(chr(34) + column.name + chr(34) for column in table.columns)} FROM {table.name}")
            forms = [form.get(column.kind.name, lambda value: value) for column in table.columns]
            found[table.name] = {
                tuple(None if value is None else (type(value), change(value)) for change, value in zip(forms, row, strict=True))
                for row in rows
            }
        return found


def fetch(url, sql):
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(sql).fetchall()


def rows_as_postgresql_writes_them(url):
    return {table.name: fetch(url, f"SELECT row_to_json(t)::text FROM {table.name} t ORDER BY 1") for table in all_tables()}


def execute(url, sql):
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql)


@contextmanager
def nothing_written(url):
    """Into the database of this URL, which is migrated and has no users."""
    count = "SELECT (SELECT count(*) FROM accounts_user), (SELECT count(*) FROM auth_permission), (SELECT count(*) FROM auth_group)"
    before = fetch(url, count)
    yield
    assert fetch(url, count) == before


# --- What arrives --------------------------------------------------------------------------------


def test_every_row_of_every_table_arrives_on_postgresql_and_comes_back_as_it_was(full, empty, tmp_path):
    before = raw_rows(full)

    there = run(full, empty)
    (tmp_path / "back").mkdir()
    back = run(empty, migrated_file(tmp_path / "back"))

    assert all(tally.rows >= 3 for tally in there.source.values())
    assert there.source == there.target == back.source == back.target
    assert raw_rows(f"sqlite:///{tmp_path}/back/auth.db") == before == raw_rows(full)


def test_the_database_that_was_moved_to_is_one_to_serve_from(full, empty):
    run(full, empty)

    [(at, detail, address, actor)] = fetch(
        empty, f"SELECT at, detail, host(address), actor_id FROM accounts_auditevent WHERE id = {NUMBERS[1]}"
    )
    assert at == AT + timedelta(seconds=NUMBERS[1], microseconds=1)
    assert detail == json.loads(JSON)
    assert (address, actor) == ("2001:db8::1", UUID(int=NUMBERS[1] << 64))
    [(digest, agent)] = fetch(empty, f"SELECT retry_digest, user_agent FROM oauth_session WHERE id = '{UUID(int=NUMBERS[1] << 64)}'")
    assert bytes(digest) == bytes([1, *range(256)])
    assert agent == f"{NUMBERS[1]} {TEXT}"
    assert fetch(empty, "SELECT reltuples FROM pg_class WHERE oid = 'oauth_session'::regclass") == [(3.0,)]  # the planner knows of them
    # The counters go on behind what was ever given.
    assert fetch(empty, "INSERT INTO accounts_role (name, description) VALUES ('next', '') RETURNING id") == [(5001,)]
    event = "(at, event, target, client_id, user_agent, error_id, detail) VALUES (now(), 'x', '', '', '', '', '{}')"
    assert fetch(empty, f"INSERT INTO accounts_auditevent {event} RETURNING id") == [(NUMBERS[-1] + 1,)]
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        execute(empty, "UPDATE accounts_auditevent SET event = 'another'")


def test_sessions_are_moved_into_partitions_too(full, empty):
    page = (Path(__file__).parents[2] / "docs/performance.md").read_text(encoding="utf-8")
    [recipe] = re.findall(r"```sql\n(BEGIN;\n.*?COMMIT;\n)```", page, re.DOTALL)
    execute(empty, recipe)

    assert run(full, empty).target["oauth_session"].rows == 3
    assert fetch(empty, "SELECT count(*) > 0 FROM pg_inherits WHERE inhparent = 'oauth_session'::regclass") == [(True,)]


def test_everything_moves_from_one_postgresql_to_another(full, empty, another, tmp_path, monkeypatch):
    run(full, empty)
    settings = database_url.settings_of(empty, folder=tmp_path, serving=False, pooled=False)
    monkeypatch.setitem(django_settings.DATABASES, "default", settings)

    call_command("move_database", "--to", another, stdout=(printed := io.StringIO()))

    assert "Both databases read alike." in printed.getvalue()
    assert rows_as_postgresql_writes_them(another) == rows_as_postgresql_writes_them(empty)
    assert fetch(another, "INSERT INTO accounts_role (name, description) VALUES ('next', '') RETURNING id") == [(5001,)]


def test_a_dry_run_reads_everything_and_does_not_even_migrate(full, server_url):
    with new_database(server_url) as url:
        report = run(full, url, is_dry=True)

        assert fetch(url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]
    assert report.source["oauth_session"].rows == 3
    assert report.target == {}


def test_a_table_that_no_app_has_is_told_of(full, untouched, change):
    change("CREATE TABLE somebodys_notes (text)")

    assert run(full, untouched, is_dry=True).not_moved == ["somebodys_notes"]


# --- What is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("INSERT INTO accounts_role (name, description) VALUES ('author', '')", "Rows: accounts_role has 1"),
        ("CREATE TABLE shop_orders (id int)", "tables of something else: shop_orders"),
        ("INSERT INTO auth_group (name) VALUES ('auditors')", "Groups that somebody made or changed: auditors"),
        (
            "DELETE FROM auth_group_permissions WHERE group_id = (SELECT id FROM auth_group WHERE name = 'support')",
            "Groups that somebody made or changed: support",
        ),
        ("INSERT INTO django_migrations (app, name, applied) VALUES ('oauth', '9999_to_come', now())", "knows oauth.9999_to_come"),
    ],
)
def test_a_database_that_is_not_empty_is_refused_by_what_is_there(full, empty, sql, told):
    execute(empty, sql)

    with nothing_written(empty), pytest.raises(move.NothingMoved, match=told):
        run(full, empty)


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        (
            "DELETE FROM django_migrations WHERE id = (SELECT id FROM django_migrations WHERE app = 'oauth' ORDER BY name DESC LIMIT 1)",
            r"Run manage\.py migrate first",
        ),
        (
            "INSERT INTO django_migrations (app, name, applied) VALUES ('oauth', '9999_to_come', '2026-11-30 08:00:00')",
            "knows oauth.9999_to_come",
        ),
    ],
)
def test_a_database_of_another_version_is_not_moved(full, untouched, change, sql, told):
    change(sql)

    with nothing_written(untouched), pytest.raises(move.NothingMoved, match=told):
        run(full, untouched)


def test_a_file_that_is_not_there_is_not_made(untouched, tmp_path):
    with pytest.raises(move.NothingMoved, match="there is no file"):
        run(f"sqlite:///{tmp_path}/none.db", untouched)

    assert not (tmp_path / "none.db").exists()


def test_nothing_is_moved_while_somebody_has_the_file_open(full, untouched, monkeypatch):
    monkeypatch.setitem(databases._ON_SQLITE, "timeout", 0.1)
    with closing(sqlite3.connect(full.removeprefix("sqlite:///"))) as reader:
        reader.execute("SELECT 1 FROM accounts_user").fetchall()

        with nothing_written(untouched), pytest.raises(move.NothingMoved, match="others have it open: stop the server"):
            run(full, untouched)


def test_nobody_opens_the_file_while_it_is_moved(full, empty):
    seen = []

    def begin(label, total):
        with closing(sqlite3.connect(full.removeprefix("sqlite:///"), timeout=0)) as other:
            try:
                other.execute("SELECT 1 FROM accounts_user")
            except sqlite3.OperationalError as error:
                seen.append(f"{label}: {error}")
        return lambda done: None

    run(full, empty, begin=begin)

    assert seen == ["copying: database is locked", "reading back: database is locked"]


def test_on_postgresql_too_nothing_is_moved_while_others_are_connected(empty, tmp_path, monkeypatch):
    monkeypatch.setattr(databases, "LOCK_SECONDS", 0)
    with psycopg.connect(empty), pytest.raises(move.NothingMoved, match=r"others are connected to it \(1\)"):
        run(empty, migrated_file(tmp_path))


def test_on_postgresql_the_connections_of_another_role_count_too(empty, tmp_path, monkeypatch):
    monkeypatch.setattr(databases, "LOCK_SECONDS", 0)
    role = f"mover_{secrets.token_hex(6)}"  # no superuser: it is shown little of others
    execute(empty, f"CREATE ROLE {role} LOGIN")
    try:
        with psycopg.connect(empty), pytest.raises(move.NothingMoved, match=r"others are connected to it \(1\)"):
            run(empty.replace("authserver@", f"{role}@"), migrated_file(tmp_path))
    finally:
        execute(empty, f"DROP ROLE {role}")


def test_on_postgresql_nobody_writes_while_it_is_moved(empty, tmp_path):
    seen = []

    def begin(label, total):
        with psycopg.connect(empty, options="-c lock_timeout=10") as other:
            try:
                other.execute("INSERT INTO accounts_role (name, description) VALUES ('late', '')")
            except psycopg.errors.LockNotAvailable:
                seen.append(label)
        return lambda done: None

    run(empty, migrated_file(tmp_path), begin=begin)

    assert seen == ["copying", "reading back"]


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        (f"UPDATE accounts_user SET name = 'hushed' || char(0) WHERE id = '{UUID(int=NUMBERS[0] << 64).hex}'", "accounts_user: name of"),
        (f"UPDATE oauth_client SET audience = 'hushed' || hex(zeroblob(200)) WHERE id = {NUMBERS[0]}", "longer than 255 characters"),
        (f"UPDATE oauth_client SET secret_created_at = 'hushed' WHERE id = {NUMBERS[0]}", "row 1001 is no instant"),
        (
            f"UPDATE oauth_session SET revoked_at = '2026-02-30 00:00:00' WHERE generation = {NUMBERS[0]}",
            "oauth_session: revoked_at of the row",
        ),
        ("UPDATE accounts_onetimetoken SET created_at = 'hushed'", "accounts_onetimetoken: created_at is no instant"),
        # What only PostgreSQL knows.
        (f"""UPDATE accounts_auditevent SET detail = '{{"hushed": "\\u0000"}}' WHERE id = {NUMBERS[0]}""", "accounts_auditevent, row"),
    ],
)
def test_a_value_that_postgresql_does_not_take_is_told_of_by_its_place_and_not_by_itself(full, untouched, change, sql, told):
    change(sql)

    with nothing_written(untouched), pytest.raises(move.NothingMoved, match=told) as refused:
        run(full, untouched)

    assert "hushed" not in str(refused.value)


@pytest.mark.parametrize("is_dry", [False, True])
def test_text_that_is_not_utf8_is_told_of_by_its_place_and_not_by_itself(full, untouched, change, is_dry):
    change("UPDATE accounts_user SET name = CAST(x'68757368656420ff' AS TEXT)")

    with nothing_written(untouched), pytest.raises(move.NothingMoved) as refused:
        run(full, untouched, is_dry=is_dry)

    assert str(refused.value) == "The database to be moved, accounts_user: column name holds text that is not UTF-8."


@pytest.mark.parametrize("is_dry", [False, True])
def test_a_damaged_file_is_told_of_as_the_old_database(full, untouched, is_dry):
    path = full.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path)) as connection:
        [[size]] = connection.execute("PRAGMA page_size")
        [[page]] = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'accounts_user'")
    with open(path, "r+b") as file:
        file.seek(size * (page - 1))
        file.write(b"\xff" * size)

    with (
        nothing_written(untouched),
        pytest.raises(move.NothingMoved, match=r"^The database to be moved, accounts_user: database disk image"),
    ):
        run(full, untouched, is_dry=is_dry)


def test_a_row_that_refers_to_none_stops_the_move(full, untouched, change):
    change("DELETE FROM oauth_client WHERE id = 1001")

    with nothing_written(untouched), pytest.raises(move.NothingMoved, match="refers to one that is not there"):
        run(full, untouched)


def test_what_does_not_read_back_alike_is_taken_back(full, empty):
    function = "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.scope := NEW.scope || '!'; RETURN NEW; END $$"
    execute(empty, function)
    execute(empty, "CREATE TRIGGER spoil BEFORE INSERT ON oauth_devicecode FOR EACH ROW EXECUTE FUNCTION spoil()")

    with nothing_written(empty), pytest.raises(move.Different) as different:
        run(full, empty)

    assert different.value.report.differences == ["oauth_devicecode"]
    execute(empty, "DROP TRIGGER spoil ON oauth_devicecode")
    assert run(full, empty).differences == []


# --- The command ---------------------------------------------------------------------------------


@pytest.fixture
def command(full, monkeypatch):
    """What the command prints that moves it."""
    monkeypatch.setitem(django_settings.DATABASES, "default", databases.settings_of(full))

    def run(*arguments):
        printed = io.StringIO()
        try:
            call_command("move_database", *arguments, stdout=printed)
        except CommandError as error:
            return f"{printed.getvalue()}{error}"
        return printed.getvalue()

    return run


def test_the_command_prints_what_it_has_compared(command, empty):
    planned = command("--to", empty, "--dry-run")
    moved = command("--to", empty)
    again = command("--to", empty)

    assert re.search(r"^oauth_session +3  [0-9a-f]{16}$", planned, re.MULTILINE)
    assert "This is what would be moved" in planned
    assert re.search(r"^oauth_session +3  [0-9a-f]{16}  same$", moved, re.MULTILINE)
    assert "Both databases read alike." in moved
    assert "Nothing was moved. The database of --to: it is not empty, and nothing in it was touched. Rows: " in again


def test_on_a_terminal_the_command_shows_how_far_it_is(command, empty, monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)

    command("--to", empty)

    shown = terminal.getvalue()
    rows = re.findall(r"(copying|reading back) +\[#{30}\]  ([\d,]+) of ([\d,]+)  ", shown)
    assert [label for label, _, _ in rows] == ["copying", "reading back"]
    assert len({number for _, *numbers in rows for number in numbers}) == 1
    assert shown.endswith("\r")  # the line is free for what is printed next


def test_the_command_prints_where_the_two_differ(command, empty):
    execute(empty, "CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$")
    execute(empty, "CREATE TRIGGER lose BEFORE INSERT ON accounts_auditevent FOR EACH ROW EXECUTE FUNCTION lose()")

    said = command("--to", empty)

    assert re.search(r"^accounts_auditevent +3  [0-9a-f]{16}  DIFFERENT: read back 0 rows, 0{16}$", said, re.MULTILINE)
    assert said.endswith("Nothing was moved: the two databases do not read alike, in accounts_auditevent.")


# --- Passwords in URLs ---------------------------------------------------------------------------


def test_no_password_of_an_url_is_told(full, server_url):
    password = "hush-hush/hush"
    there = server_url.replace("authserver@", "authserver:hush-hush%2Fhush@").rpartition("/")[0]

    with pytest.raises(move.NothingMoved) as unknown:
        run(full, f"{there}/hush-hush%2Fhush")  # PostgreSQL says which database it does not have
    with pytest.raises(move.NothingMoved) as in_the_query:
        run(full, f"{server_url.rpartition('/')[0]}/hush-hush?password=hush-hush")
    with pytest.raises(CommandError) as malformed:
        call_command("move_database", to=f"postgresql://u:{password}@host", stdout=io.StringIO())

    assert "***" in str(unknown.value)
    assert "***" in str(in_the_query.value)
    assert "hush" not in f"{unknown.value} {in_the_query.value} {malformed.value}"


# --- How long it takes ---------------------------------------------------------------------------


@pytest.mark.skipif(not os.environ.get("SESSIONS"), reason="measures: SESSIONS=100000 pytest -s")
def test_many_sessions_are_moved_in_well_under_a_minute(full, empty):
    sessions = int(os.environ["SESSIONS"])
    with closing(sqlite3.connect(full.removeprefix("sqlite:///"))) as connection, connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(oauth_session)")]
        values = ", ".join("lower(hex(randomblob(16)))" if name == "id" else name for name in columns)
        connection.execute(
            f"""
            WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {sessions})
            INSERT INTO oauth_session SELECT {values} FROM numbers JOIN (SELECT * FROM oauth_session LIMIT 1)"""
        )

    started, cpu = time.monotonic(), time.process_time()
    report = run(full, empty)
    sys.stdout.write(f"{sessions:,} sessions: {time.monotonic() - started:.1f} s, {time.process_time() - cpu:.1f} s of this process\n")

    assert report.source["oauth_session"].rows == sessions + 3
