"""What happened is written by one writer, under known names, with the act or not at all (accounts/audit.py)."""

import ast
import re
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.db import transaction

from accounts import audit
from accounts.models import AuditEvent

ROOT = Path(__file__).parents[2]
WRITER = "accounts/audit.py"
SOURCES = {
    str(path.relative_to(ROOT)): ast.parse(path.read_text(encoding="utf-8"))
    for app in ("accounts", "oauth", "authserver")
    for path in sorted((ROOT / app).rglob("*.py"))
    if "migrations" not in path.parts
}


class Abandoned(Exception):
    """The caller's transaction fails for a reason of its own."""


@pytest.mark.django_db
@pytest.mark.parametrize("event", ["", "user:sign_in", "user:sign_in:Succeeded", "something:else:happened"])
def test_an_event_that_nobody_explained_cannot_be_recorded(event):
    with pytest.raises(KeyError):
        audit.record(event)

    assert not AuditEvent.objects.exists()


@pytest.mark.django_db
def test_a_record_holds_who_did_what_to_whom_from_where():
    actor, target = uuid.uuid4(), uuid.uuid4()

    audit.record(
        "user:sign_in:succeeded",
        actor_id=actor,
        target=target,
        client_id="editor",
        address="2001:db8::1",
        user_agent="Editor/1.0",
        error_id="0123456789abcdef",
        detail={"reason": "„because“", "generation": 3, "with_key": False},
    )

    event = AuditEvent.objects.get()
    assert (event.event, event.actor_id, event.target) == ("user:sign_in:succeeded", actor, str(target))
    assert (event.client_id, event.address, event.user_agent) == ("editor", "2001:db8::1", "Editor/1.0")
    assert (event.error_id, event.detail) == ("0123456789abcdef", {"reason": "„because“", "generation": 3, "with_key": False})
    assert abs(event.at - datetime.now(UTC)) < timedelta(minutes=1)


@pytest.mark.django_db
def test_what_is_not_known_stays_empty():
    audit.record("user:sign_in:failed")

    event = AuditEvent.objects.get()
    assert (event.actor_id, event.target, event.client_id, event.address) == (None, "", "", None)
    assert (event.user_agent, event.error_id, event.detail) == ("", "", {})


@pytest.mark.django_db
def test_a_user_agent_is_cut_to_the_column():
    audit.record("user:sign_in:failed", user_agent="é" * 5000)

    assert AuditEvent.objects.get().user_agent == "é" * 200


@pytest.mark.django_db
@pytest.mark.parametrize("event", sorted(audit.EVENTS))
def test_every_event_fits_its_column_and_is_a_subject_an_object_and_an_outcome(event):
    audit.record(event)

    assert AuditEvent.objects.get().event == event
    assert re.fullmatch(r"[a-z_]+:[a-z_]+:[a-z_]+", event)


@pytest.mark.django_db
def test_events_are_told_latest_first():
    audit.record("user:sign_in:failed")
    audit.record("user:sign_in:succeeded")

    assert [event.event for event in AuditEvent.objects.all()] == ["user:sign_in:succeeded", "user:sign_in:failed"]
    assert AuditEvent.objects.latest().event == "user:sign_in:succeeded"


@pytest.mark.django_db
def test_a_record_outlives_the_user_it_tells_of(alice):
    audit.record("user:sign_in:succeeded", actor_id=alice.pk, target=alice.pk)
    actor = alice.pk
    alice.delete()

    assert AuditEvent.objects.get(actor_id=actor).target == str(actor)


@pytest.mark.django_db(transaction=True)
def test_a_record_falls_with_the_transaction_of_its_act():
    with pytest.raises(Abandoned), transaction.atomic():  # noqa: PT012 - the act, then what abandons it
        audit.record("client:secret:rotated", client_id="robot")
        raise Abandoned

    assert not AuditEvent.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_record_without_a_transaction_stands_at_once():
    audit.record("user:sign_in:failed")
    with pytest.raises(Abandoned), transaction.atomic():
        raise Abandoned

    assert AuditEvent.objects.count() == 1


# --- One writer --------------------------------------------------------------------------------


def dotted(node):
    match node:
        case ast.Attribute():
            return f"{dotted(node.value)}.{node.attr}"
        case ast.Call():
            return dotted(node.func)
        case ast.Name():
            return node.id
        case _:
            return ""


def calls(tree):
    return [dotted(node) for node in ast.walk(tree) if isinstance(node, ast.Call)]


def imported_names(tree):
    return {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}


def test_nobody_writes_an_event_through_its_model():
    writes = re.compile(r"(\w+\.)*AuditEvent(\(|$)|(\w+\.)*AuditEvent\.objects\..*(create|update|delete|save|raw)")

    writers = {path for path, tree in SOURCES.items() if any(writes.match(call) for call in calls(tree))}

    assert writers == set()


def test_only_the_writer_the_remover_and_what_shows_them_know_of_events():
    knowers = {path for path, tree in SOURCES.items() if "AuditEvent" in imported_names(tree)}

    assert knowers <= {
        "oauth/older_service/move.py",  # when it was read last
        "oauth/user_page.py",
        "oauth/restored/done.py",
        "oauth/restored/replay.py",
        "accounts/audit_filters.py",
        "accounts/audit_tally.py",
        "accounts/audit_lines.py",
        "accounts/audit_pages.py",
        "accounts/audit_search.py",
        "oauth/admin_api/audit.py",
        "accounts/explanations.py",
        "authserver/admin/overview.py",
        WRITER,
        "accounts/audit_retention.py",
        "accounts/admin.py",
        "accounts/audit_admin.py",
        "accounts/management/commands/audit_export.py",
    }


def test_no_statement_but_the_writers_writes_the_table():
    statement = re.compile(r"\b(INSERT\s+INTO|UPDATE|DELETE\s+FROM)\s+accounts_auditevent", re.IGNORECASE)
    writers = {
        path
        for path, tree in SOURCES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and statement.search(node.value)
    }

    assert writers == {WRITER}


def test_every_event_that_the_code_names_is_explained():
    named = {
        node.value
        for tree in SOURCES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"[a-z_]+:[a-z_]+:[a-z_]+", node.value)
    }

    assert named - {"subject:object:outcome"} == audit.EVENTS
