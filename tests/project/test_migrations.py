"""Migrations run beside the release before them: nothing is taken away that it uses, and no request waits for them."""

import os
import subprocess
import sys
import time
from threading import Thread

import psycopg
import pytest
from django.db import models
from django.db.migrations import Migration, operations
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ModelState, ProjectState

from tests.e2e.servers import ROOT, clean_environment, migrated_database

# The newest of the last release. Set them when a release is made: from then on what it uses may go.
RELEASED = {"accounts": "0012_staff_are_found_among_many", "oauth": "0012_housekeeping"}
REFUSED = (operations.RemoveField, operations.DeleteModel, operations.RenameField, operations.RenameModel, operations.AlterModelTable)


def faults_of(migration, state):
    """Why the release before, whose code runs on, would fail on what this migration leaves. `state` is that before it, and moves on."""
    for operation in migration.operations:
        name = f"{migration.app_label}.{migration.name}: {operation.describe()}"
        if isinstance(operation, REFUSED):
            yield f"{name}: the release before uses it. Leave it for one release."
        field = getattr(operation, "field", None)
        if isinstance(operation, operations.AddField) and _is_missed(field):
            yield f"{name}: the release before writes rows without it. Give it a db_default, or null=True."
        if isinstance(operation, operations.AlterField) and _is_missed(field):
            before = state.models[migration.app_label, operation.model_name_lower].fields[operation.name]
            if before.null:
                yield f"{name}: the release before writes NULL."
        operation.state_forwards(migration.app_label, state)


def _is_missed(field):
    return not (field.null or field.has_db_default() or field.many_to_many)


def test_what_the_release_before_uses_is_left_alone():
    loader = MigrationLoader(None)
    released = [*RELEASED.items()]
    known = {node for key in released for node in loader.graph.forwards_plan(key)}
    state = loader.project_state(released)
    plan = [node for app in RELEASED for node in loader.graph.forwards_plan(loader.graph.leaf_nodes(app)[0]) if node[0] in RELEASED]

    faults = [fault for node in dict.fromkeys(plan) if node not in known for fault in faults_of(loader.graph.nodes[node], state)]

    assert known
    assert faults == []


def made(*operations_):
    state = ProjectState()
    fields = [("id", models.BigAutoField(primary_key=True)), ("old", models.TextField(null=True)), ("kept", models.TextField())]
    state.add_model(ModelState("oauth", "Thing", fields))
    migration = Migration("0013_thing", "oauth")
    migration.operations = [*operations_]
    return list(faults_of(migration, state))


@pytest.mark.parametrize(
    "operation",
    [
        operations.RemoveField("thing", "old"),
        operations.DeleteModel("Thing"),
        operations.RenameField("thing", "old", "new"),
        operations.RenameModel("Thing", "Other"),
        operations.AddField("thing", "new", models.TextField(default="")),
        operations.AlterField("thing", "old", models.TextField()),
    ],
    ids=lambda operation: type(operation).__name__,
)
def test_what_would_break_it_is_noticed(operation):
    assert len(made(operation)) == 1


@pytest.mark.parametrize(
    "operation",
    [
        operations.AddField("thing", "new", models.TextField(null=True)),
        operations.AddField("thing", "new", models.TextField(db_default="")),
        operations.AlterField("thing", "old", models.TextField(null=True, help_text="more")),
        operations.AlterField("thing", "kept", models.CharField(max_length=9)),
        operations.CreateModel("Other", [("id", models.BigAutoField(primary_key=True))]),
    ],
    ids=lambda operation: type(operation).__name__,
)
def test_what_it_never_sees_is_allowed(operation):
    assert made(operation) == []


@pytest.mark.skipif(not os.environ.get("TEST_DB_URL"), reason="SQLite has one writer, and no lock_timeout")
def test_a_migration_never_makes_requests_wait_behind_a_long_transaction():
    waits = []
    with migrated_database(os.environ["TEST_DB_URL"]) as url, psycopg.connect(url) as long:
        long.execute("SELECT count(*) FROM accounts_user")  # and its transaction goes on
        command = [sys.executable, "manage.py", "migrate", "accounts", "0011"]  # drops an index of that table
        environment = clean_environment(
            ENVIRONMENT="development", AUTH_SERVICE__ENV_FILE="", AUTH_SERVICE__SECRET_KEY="s" * 48, AUTH_SERVICE__DB_URL=url
        )
        seen = []
        with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, encoding="utf-8") as migrate:
            reading = Thread(target=read, args=(url, migrate, waits))
            reading.start()
            for line in migrate.stdout:
                seen.append(line)
                if "Trying again" in line:
                    long.rollback()
        reading.join()

    assert migrate.returncode == 0
    assert "\n".join(seen).count("Trying again") >= 1
    assert "OK" in seen[-1]
    assert max(waits) < 2  # a fifth of a second, on a slow machine


def read(url, migrate, waits):
    """As requests do, until the migration has ended."""
    with psycopg.connect(url, autocommit=True) as connection:
        while migrate.poll() is None:
            began_at = time.monotonic()
            connection.execute("SELECT 1 FROM accounts_user LIMIT 1")
            waits.append(time.monotonic() - began_at)
            time.sleep(0.02)
