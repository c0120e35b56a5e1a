"""Audit events are only added, until they are past their time."""

import io
import json
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction

from accounts import audit, audit_retention, clock
from accounts.models import AppendOnly, AuditEvent

pytestmark = pytest.mark.django_db


@pytest.fixture
def event():
    audit.record("user:sign_in:failed", target="someone", detail={"reason": "wrong password"})
    return AuditEvent.objects.latest()


def record_at(at):
    clock.offset = at - datetime.now(UTC)
    audit.record("user:sign_in:failed")
    clock.offset = clock.NONE
    return AuditEvent.objects.latest()


@pytest.mark.checklist(103)
def test_the_model_refuses_to_change_or_delete_an_event(event):
    event.target = "somebody else"

    with pytest.raises(AppendOnly):
        event.save()
    with pytest.raises(AppendOnly):
        event.delete()
    with pytest.raises(AppendOnly):
        AuditEvent.objects.update(target="")
    with pytest.raises(AppendOnly):
        AuditEvent.objects.all().delete()

    assert AuditEvent.objects.get().target == "someone"


@pytest.mark.checklist(103)
@pytest.mark.parametrize("statement", ["UPDATE accounts_auditevent SET target = ''", "DELETE FROM accounts_auditevent"])
def test_postgresql_refuses_it_too(event, statement):
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no settings that a trigger could ask")

    with pytest.raises(DatabaseError, match="only added"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)

    assert AuditEvent.objects.get().target == "someone"


def test_events_past_their_time_are_removed_and_no_others(event, settings):
    settings.AUDIT_RETENTION = timedelta(days=90)
    old, younger = record_at(datetime.now(UTC) - timedelta(days=91)), record_at(datetime.now(UTC) - timedelta(days=89))

    removed = audit_retention.prune()

    assert removed == 1
    assert set(AuditEvent.objects.values_list("pk", flat=True)) == {event.pk, younger.pk}
    assert old.pk not in AuditEvent.objects.values_list("pk", flat=True)


def test_without_a_retention_nothing_is_removed(settings):
    settings.AUDIT_RETENTION = None
    record_at(datetime.now(UTC) - timedelta(days=5000))

    assert audit_retention.prune() == 0
    assert AuditEvent.objects.count() == 1


def test_a_retention_below_thirty_days_does_not_fool_the_trigger(settings):
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no settings that a trigger could ask")
    settings.AUDIT_RETENTION = timedelta(days=1)
    record_at(datetime.now(UTC) - timedelta(days=5))

    with pytest.raises(DatabaseError, match="only added"), transaction.atomic():
        audit_retention.prune()

    assert AuditEvent.objects.count() == 1


def test_an_export_is_json_lines_that_tell_everything(event):
    output = io.StringIO()

    call_command("audit_export", stdout=output)

    [line] = output.getvalue().splitlines()
    exported = json.loads(line)
    assert exported == {
        "id": event.pk, "at": exported["at"], "event": "user:sign_in:failed", "actor_id": None, "target": "someone", "client_id": "",
        "address": None, "user_agent": "", "error_id": "", "detail": {"reason": "wrong password"},
    }  # fmt: skip
    assert datetime.fromisoformat(exported["at"]) == event.at


def test_an_export_can_be_cut_by_time_and_continued():
    times = [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 3, 4)]
    events = [record_at(at) for at in times]

    def ids(**options):
        output = io.StringIO()
        call_command("audit_export", stdout=output, **options)
        return [json.loads(line)["id"] for line in output.getvalue().splitlines()]

    assert ids(since=times[1], until=times[3]) == [events[1].pk, events[2].pk]
    assert ids(after_id=events[2].pk) == [events[3].pk]
