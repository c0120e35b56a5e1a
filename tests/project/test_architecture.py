"""Who may know of whom, what is pure, and what the tables look like (docs/architecture.md)."""

import ast
import os
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.core.management import call_command
from django.db import connection

from oauth.models import Session

ROOT = Path(__file__).parents[2]
PACKAGES = ("accounts", "oauth", "authserver")
PURE = (
    "oauth.errors",
    "oauth.origins",
    "oauth.scopes",
    "oauth.refresh_tokens",
    "oauth.older_service.refresh_tokens",
    "oauth.access_tokens",
    "accounts.identifiers",
    "accounts.addresses",
)


def module_name(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


FILES = {module_name(path): path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))}


def imports_of(module):
    """Every module that this one may import, wherever in its body; a name imported from a package may be a module too."""
    for node in ast.walk(ast.parse(FILES[module].read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=source, names=names, level=level):
                parent = ".".join(module.split(".")[:-level]) if level else ""
                base = ".".join(filter(None, [parent, source]))
                yield base
                yield from (f"{base}.{alias.name}" for alias in names)


def is_of(name, package):
    return name == package or name.startswith(f"{package}.")


def importers_of(package):
    return {module for module in FILES if any(is_of(name, package) for name in imports_of(module))}


# --- Directions of knowledge -------------------------------------------------------------------


def test_the_walk_sees_the_imports():
    assert "oauth.sessions" in FILES
    assert {"accounts.clock", "accounts.reconnect"} <= {*imports_of("oauth.sessions")}
    assert "accounts.checks" in {*imports_of("accounts.apps")}  # inside a function


@pytest.mark.parametrize(("package", "above"), [("accounts", "oauth"), ("accounts", "authserver"), ("oauth", "authserver")])
def test_a_package_knows_nothing_of_those_above_it(package, above):
    assert {module for module in importers_of(above) if is_of(module, package)} == set()


def test_nothing_of_the_server_knows_of_its_tests():
    assert importers_of("tests") == set()


def test_only_the_models_and_their_pages_know_of_the_toolkit():
    assert importers_of("oauth2_provider") <= {"oauth.models", "oauth.admin"}


def test_nobody_knows_of_the_library_inside_the_toolkit():
    assert importers_of("oauthlib") == set()


def test_nothing_happens_by_signal():
    for package in ("django.dispatch", "django.db.models.signals", "django.core.signals", "django.contrib.auth.signals"):
        assert importers_of(package) <= {"authserver.wsgi"}  # which switches some of Django's own off
    assert [module for module in FILES if module.endswith("signals")] == []
    connecting = [module for module, path in FILES.items() if re.search(r"\.connect\(|@receiver", path.read_text(encoding="utf-8"))]
    assert connecting == []


def test_no_module_is_a_drawer():
    drawers = {"utils", "util", "helpers", "helper", "common", "misc", "tools"}

    assert [module for module in FILES if drawers & {*module.split(".")}] == []


# --- Pure modules ------------------------------------------------------------------------------


@pytest.mark.parametrize("module", PURE)
def test_a_pure_module_names_neither_django_nor_a_module_that_is_not_pure(module):
    imported = {*imports_of(module)}
    first_party = {name for name in imported if any(is_of(name, package) for package in PACKAGES)}

    assert {name for name in imported if is_of(name, "django") or is_of(name, "rest_framework")} == set()
    assert {name for name in first_party if name in FILES} <= {*PURE, *PACKAGES}


def test_pure_modules_run_in_a_python_without_django():
    program = f"""
import sys
sys.modules["django"] = None  # an import of it fails
{chr(10).join(f"import {module}" for module in PURE)}
"""

    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    assert result.returncode == 0, result.stderr


# --- Tables ------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_migrations_make_what_the_models_say():
    output = StringIO()

    call_command("makemigrations", check=True, dry_run=True, stdout=output)  # SystemExit when something is missing

    assert "No changes detected" in output.getvalue()


def test_every_migration_is_named_for_its_effect():
    migrations = [path.stem for path in FILES.values() if path.parent.name == "migrations" and path.stem != "__init__"]

    assert [name for name in migrations if name.endswith("_initial") or "_auto_" in name] == []


def test_the_database_under_test_is_the_one_that_was_asked_for():
    asked = urlsplit(os.environ.get("TEST_DB_URL", "")).scheme

    assert connection.vendor == {"": "sqlite", "postgresql": "postgresql"}[asked]


def indexes_of(table):
    """The columns of every index, and what it is for."""
    with connection.cursor() as cursor:
        constraints = connection.introspection.get_constraints(cursor, table).values()
    purposes = ("primary_key", "unique", "index")
    return {
        (next(name for name in purposes if each[name]), *each["columns"]) for each in constraints if any(each[name] for name in purposes)
    }


@pytest.mark.django_db
def test_a_session_is_found_by_its_id_its_user_and_its_client_and_no_index_slows_a_refresh():
    assert indexes_of(Session._meta.db_table) == {
        ("primary_key", "id"),
        ("index", "user_id", "created_at"),
        ("index", "client_id", "created_at"),
        ("index", "created_at"),  # of those alone whose token was reused: no refresh writes what it is made of
    }


if connection.vendor == "postgresql":

    @pytest.mark.django_db
    def test_postgresql_has_exactly_these_indexes_of_sessions():
        with connection.cursor() as cursor:
            cursor.execute("SELECT indexdef FROM pg_indexes WHERE tablename = 'oauth_session'")
            definitions = {definition.partition(" ON ")[2] for (definition,) in cursor.fetchall()}

        assert definitions == {
            "public.oauth_session USING btree (id)",
            "public.oauth_session USING btree (user_id, created_at)",
            "public.oauth_session USING btree (client_id, created_at)",
            "public.oauth_session USING btree (created_at) WHERE ((revoked_reason)::text = 'refresh_token_reused'::text)",
        }

    @pytest.mark.django_db
    def test_postgresql_leaves_room_beside_each_session_for_its_refreshes():
        with connection.cursor() as cursor:
            cursor.execute("SELECT reloptions FROM pg_class WHERE oid = 'oauth_session'::regclass")
            (options,) = cursor.fetchone()

        assert options == ["fillfactor=70", "autovacuum_vacuum_scale_factor=0.02", "autovacuum_analyze_scale_factor=0.02"]

else:

    @pytest.mark.django_db(transaction=True)
    def test_sqlite_writes_ahead_and_takes_its_lock_at_the_start_of_a_transaction():
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA journal_mode")
            assert cursor.fetchone() == ("wal",)

        assert connection.transaction_mode == "IMMEDIATE"
