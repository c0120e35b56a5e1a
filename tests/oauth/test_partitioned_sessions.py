"""The table of sessions may be parted by the hash of its ids, as docs/performance.md says how: nothing else changes."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection

from accounts import statements
from accounts.clock import Instant
from accounts.models import AuditEvent
from oauth import clients, keys, session_pruning, sessions
from oauth.models import Session

PAGE = Path(__file__).resolve().parent.parent.parent / "docs/performance.md"
KEY = "0123456789abcdef-idempotency"

parted = pytest.mark.usefixtures("_parted")


@pytest.fixture
def part(db):
    """Part the table by the very statements of the page, and only within this test."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no partitions")
    return _part


@pytest.fixture
def _parted(part):
    part()


def _part():
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


@parted
def test_it_has_the_indexes_that_the_model_has():
    assert indexes() == {"oauth_session_pkey", *(index.name for index in Session._meta.indexes)}


@parted
def test_sessions_lie_in_all_parts_and_each_is_refreshed_in_its_own(alice, editor, sign_in, refresh, count_statements):
    values = [sign_in().body["refresh_token"] for _ in range(40)]
    assert len(parts()) > 4
    refresh(values[0])

    with count_statements() as counted:
        answers = [refresh(value) for value in values[1:]]

    assert {answer.status for answer in answers} == {200}
    assert sum("UPDATE oauth_session" in each["sql"] for each in counted.captured_queries) == len(answers)
    assert sum(parts().values()) == 40


@parted
def test_a_repetition_is_known_and_a_reuse_ends_the_session(signed_in, refresh):
    first = signed_in.body["refresh_token"]
    successor = refresh(first, key=KEY).body["refresh_token"]

    assert refresh(first, key=KEY).body["refresh_token"] == successor
    assert refresh(first).error == "invalid_grant"
    assert refresh(successor).error == "invalid_grant"
    assert Session.objects.get().revoked_reason == "refresh_token_reused"


@parted
def test_a_session_that_lost_its_last_write_catches_up(signed_in, refresh):
    newest = refresh(signed_in.body["refresh_token"]).body["refresh_token"]
    Session.objects.update(generation=0)

    assert refresh(newest).status == 200


@parted
def test_sessions_are_ended_and_pruned(alice, signed_in, sign_in, refresh):
    kept = sign_in().body["refresh_token"]
    ended = Session.objects.order_by("created_at").first()

    assert sessions.revoke(ended.pk, reason="ended_by_staff")
    assert refresh(signed_in.body["refresh_token"]).error == "invalid_grant"
    Session.objects.filter(pk=ended.pk).update(expires_at=Instant(plus=-timedelta(days=31)))
    call_command("prune", verbosity=0)

    assert Session.objects.count() == 1
    assert refresh(kept).status == 200


@parted
@pytest.mark.parametrize("pages", [1, 16])
def test_batches_go_through_all_parts(monkeypatch, sign_in, pages):
    monkeypatch.setattr(session_pruning, "PAGES", pages)
    for _ in range(40):
        sign_in()
    ended = [*Session.objects.values_list("pk", flat=True)[:30]]
    Session.objects.filter(pk__in=ended).update(expires_at=Instant(plus=-timedelta(days=31)))

    batches = [*session_pruning.prune(keep=timedelta(days=30))]

    assert sum(batch.removed for batch in batches) == 30
    assert sum(batch.looked_at for batch in batches) == 40
    assert not Session.objects.filter(pk__in=ended).exists()


def test_everything_is_as_many_statements_as_on_one_table(part, monkeypatch, alice, sign_in, refresh, post, count_statements):
    monkeypatch.setattr(keys, "POLL_SECONDS", 600)
    monkeypatch.setattr(clients, "CACHE_SECONDS", 600)

    def life():
        """Statements of each act in the life of three sessions."""
        acts = {}

        def act(name, do):
            with count_statements() as counted:
                found = do()
            acts[name] = len(counted)
            return found

        first = act("sign-in", sign_in).body["refresh_token"]
        second = act("refresh", lambda: refresh(first, key=KEY)).body["refresh_token"]
        assert act("retry", lambda: refresh(first, key=KEY)).body["refresh_token"] == second
        third = act("refresh with a scope", lambda: refresh(second, scope="api:read")).body["refresh_token"]
        assert act("reuse", lambda: refresh(first)).error == "invalid_grant"
        assert act("refresh of an ended session", lambda: refresh(third)).error == "invalid_grant"
        lost = refresh(sign_in().body["refresh_token"]).body["refresh_token"]
        Session.objects.filter(generation=1).update(generation=0)
        assert act("catching up", lambda: refresh(lost)).status == 200
        value = sign_in().body["refresh_token"]
        act("revocation", lambda: post({"token": value, "client_id": "editor"}, path="/oauth/revoke"))
        assert refresh(value).error == "invalid_grant"
        assert len(act("list", lambda: [*Session.objects.live().filter(user=alice)])) == 1
        Session.objects.update(expires_at=Instant(plus=-timedelta(days=31)))
        # In as many statements as there are pages; pages are not what is compared.
        assert sum(batch.removed for batch in session_pruning.prune(keep=timedelta(days=30))) == 3
        assert not Session.objects.exists()
        return acts

    life()  # the caches are warm
    on_one_table = life()
    part()

    assert life() == on_one_table
    assert on_one_table["refresh"] == 1
    events = AuditEvent.objects.values_list("event", flat=True)
    assert all(
        [*events].count(event) == 3 for event in ("session:refresh_token:reused", "session:refresh:caught_up", "session:refresh:retried")
    )


@parted
def test_refreshes_are_written_in_place(sign_in, refresh):
    tokens = [sign_in().body["refresh_token"] for _ in range(16)]
    for _ in range(3):
        tokens = [refresh(token).body["refresh_token"] for token in tokens]

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sum(n_tup_upd), sum(n_tup_hot_upd) FROM pg_stat_xact_user_tables WHERE relname LIKE 'oauth!_session!__' ESCAPE '!'"
        )
        assert cursor.fetchone() == (48, 48)


@parted
def test_how_many_sessions_there_are_is_known_of_all_parts_together(alice, editor, sign_in):
    for _ in range(20):
        sign_in()
    with connection.cursor() as cursor:
        for name in parts():
            cursor.execute(f"ANALYZE {name}")

    assert statements.estimated_rows("oauth_session") == 20
