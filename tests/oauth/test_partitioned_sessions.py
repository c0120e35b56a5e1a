"""The table of sessions may be parted by the hash of its ids, as docs/performance.md says how: nothing else changes."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection

from accounts.clock import Instant
from oauth import sessions
from oauth.models import Session

PAGE = Path(__file__).resolve().parent.parent.parent / "docs/performance.md"
KEY = "0123456789abcdef-idempotency"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _parted(db):
    """By the very statements of the page, and only within this test."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no partitions")
    [recipe] = re.findall(r"```sql\nBEGIN;\n(.*?)COMMIT;\n```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(recipe)


def parts():
    """Rows by part."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text, count(*) FROM oauth_session GROUP BY 1")
        return dict(cursor.fetchall())


def indexes():
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexname FROM pg_indexes WHERE tablename = 'oauth_session'")
        return {name for (name,) in cursor.fetchall()}


def test_it_has_the_indexes_that_the_model_has():
    assert indexes() == {"oauth_session_pkey", *(index.name for index in Session._meta.indexes)}


def test_sessions_lie_in_all_parts_and_each_is_refreshed_in_its_own(alice, editor, sign_in, refresh, count_statements):
    values = [sign_in().body["refresh_token"] for _ in range(40)]
    assert len(parts()) > 4
    refresh(values[0])

    with count_statements() as counted:
        answers = [refresh(value) for value in values[1:]]

    assert {answer.status for answer in answers} == {200}
    assert sum("UPDATE oauth_session" in each["sql"] for each in counted.captured_queries) == len(answers)
    assert sum(parts().values()) == 40


def test_a_repetition_is_known_and_a_reuse_ends_the_session(signed_in, refresh):
    first = signed_in.body["refresh_token"]
    successor = refresh(first, key=KEY).body["refresh_token"]

    assert refresh(first, key=KEY).body["refresh_token"] == successor
    assert refresh(first).error == "invalid_grant"
    assert refresh(successor).error == "invalid_grant"
    assert Session.objects.get().revoked_reason == "refresh_token_reused"


def test_a_session_that_lost_its_last_write_catches_up(signed_in, refresh):
    newest = refresh(signed_in.body["refresh_token"]).body["refresh_token"]
    Session.objects.update(generation=0)

    assert refresh(newest).status == 200


def test_sessions_are_ended_and_pruned(alice, signed_in, sign_in, refresh):
    kept = sign_in().body["refresh_token"]
    ended = Session.objects.order_by("created_at").first()

    assert sessions.revoke(ended.pk, reason="ended_by_staff")
    assert refresh(signed_in.body["refresh_token"]).error == "invalid_grant"
    Session.objects.filter(pk=ended.pk).update(expires_at=Instant(plus=-timedelta(days=31)))
    call_command("prune", verbosity=0)

    assert Session.objects.count() == 1
    assert refresh(kept).status == 200
