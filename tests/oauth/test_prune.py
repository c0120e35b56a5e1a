"""What `manage.py prune` removes, and what it has to leave alone."""

import random
import re
from datetime import timedelta
from io import StringIO
from uuid import uuid4

import pytest
from django.contrib.sessions.models import Session as BrowserSession
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from accounts import one_time_tokens, refusals
from accounts.clock import Instant
from accounts.models import AuditEvent, OneTimeToken, Refusal
from oauth import session_pruning, sessions
from oauth.models import Session


@pytest.fixture
def prune():
    """Run the command; what it prints."""

    def run(*options):
        output = StringIO()
        call_command("prune", *options, stdout=output)
        return output.getvalue()

    return run


@pytest.fixture
def make_session(alice, editor):
    """A row as it stands `expired` ago: negative, it has as long to live."""

    def make(*, expired, **fields):
        instants = dict.fromkeys(("created_at", "refreshed_at", "auth_time"), Instant(plus=-expired - timedelta(days=30)))
        return Session.objects.create(
            **{"id": uuid4(), "user": alice, "user_epoch": alice.session_epoch, "client": editor, "scope": "api:read", "amr": "pwd"}
            | instants
            | {"expires_at": Instant(plus=-expired)}
            | fields
        )

    return make


def test_a_session_goes_thirty_days_after_it_has_expired(make_session, prune):
    make_session(expired=timedelta(days=31))
    kept = {make_session(expired=timedelta(days=days)).pk for days in (29, 1, -1)}

    said = prune()

    assert {*Session.objects.values_list("pk", flat=True)} == kept
    assert "sessions             1 removed of 4" in said


def test_how_long_it_is_kept_can_be_said(make_session, prune):
    expired, live = make_session(expired=timedelta(minutes=1)), make_session(expired=timedelta(minutes=-1))

    prune("--keep-days", "2")
    assert Session.objects.filter(pk=expired.pk).exists()
    prune("--keep-days", "0")

    assert [*Session.objects.all()] == [live]


@pytest.mark.parametrize("days", ["-1", "3651"])
def test_a_time_that_makes_no_sense_is_refused(db, prune, days):
    with pytest.raises(CommandError, match="takes 0 to 3650"):
        prune(f"--keep-days={days}")


@pytest.mark.checklist(76)
def test_a_revoked_session_stays_until_it_would_have_expired(make_session, prune):
    long_ago = Instant(plus=timedelta(days=-60))
    revoked = make_session(expired=timedelta(days=-1), revoked_at=long_ago, revoked_reason="refresh_token_reused")
    make_session(expired=timedelta(days=1), revoked_at=long_ago)

    prune("--keep-days", "0")

    assert [*Session.objects.all()] == [revoked]


@pytest.mark.checklist(76)
@pytest.mark.spec("RFC 9700", "4.14.2", "reuse is detected as long as a token of the session could have lived")
def test_after_pruning_a_spent_token_that_comes_back_still_ends_its_session(signed_in, refresh, prune, later, session_of):
    stolen = signed_in.body["refresh_token"]
    live = refresh(stolen).body["refresh_token"]
    later(days=29)
    prune("--keep-days", "0")

    answer = refresh(stolen)

    assert answer.error == "invalid_grant"
    assert session_of(signed_in).revoked_reason == sessions.REUSED
    assert AuditEvent.objects.latest("at").event == "session:refresh_token:reused"
    assert refresh(live).error == "invalid_grant"


@pytest.mark.checklist(76)
def test_a_session_that_is_refreshed_is_never_pruned(signed_in, refresh, prune, later):
    value = signed_in.body["refresh_token"]
    for _ in range(4):
        later(days=29)
        value = refresh(value).body["refresh_token"]

        prune("--keep-days", "0")

    assert refresh(value).status == 200


def test_when_its_session_is_gone_a_token_is_refused_like_any_other(signed_in, refresh, prune, later):
    later(days=61)
    prune()

    answer = refresh(signed_in.body["refresh_token"])

    assert not Session.objects.exists()
    assert answer.error == "invalid_grant"
    assert Refusal.objects.get(pk=answer.body["error_id"]).reason == "session unknown"


@pytest.fixture
def small_batches(monkeypatch):
    """Of a page, with some 25 sessions, or of seven rows."""
    monkeypatch.setattr(session_pruning, "PAGES", 1)
    monkeypatch.setattr(session_pruning, "ROWS", 7)


def test_rows_of_many_batches_are_all_looked_at_and_each_batch_is_small(make_session, small_batches):
    kept = set()
    for _ in range(60):
        days = random.choice([-1, 1])
        session = make_session(expired=timedelta(days=days))
        kept |= {session.pk} if days < 0 else set()

    batches = [*session_pruning.prune(keep=timedelta())]

    assert {*Session.objects.values_list("pk", flat=True)} == kept
    assert sum(batch.removed for batch in batches) == 60 - len(kept)
    assert sum(batch.looked_at for batch in batches) == 60
    assert max(batch.looked_at for batch in batches) < 40


def test_a_run_that_was_stopped_is_gone_on_with_by_the_next(make_session, small_batches, prune):
    for _ in range(60):
        make_session(expired=timedelta(days=40))
    first = next(batch for batch in session_pruning.prune(keep=timedelta(days=30)) if batch.removed)
    left = 60 - first.removed
    assert 0 < left == Session.objects.count()

    assert f"{left} removed of {left}" in prune()
    assert "0 removed of 0" in prune()


def test_a_batch_without_anything_to_remove_writes_nothing(make_session, count_statements):
    for _ in range(3):
        make_session(expired=timedelta(days=1))
    before = _counted("n_tup_del") if connection.vendor == "postgresql" else 0

    with count_statements() as statements:
        assert sum(batch.removed for batch in session_pruning.prune(keep=timedelta(days=30))) == 0

    if connection.vendor == "sqlite":
        assert all(query["sql"].startswith("SELECT") for query in statements.captured_queries)
    else:
        assert _counted("n_tup_del") == before


def test_old_refusals_expired_codes_and_expired_browser_sessions_go_too(alice, prune, monkeypatch):
    monkeypatch.setattr(refusals, "PRUNE_BATCH", 2)
    for number in range(5):
        Refusal.objects.create(error_id=f"{number:016x}", at=Instant(plus=timedelta(days=-15)), status=400, error="x", reason="x")
    Refusal.objects.create(error_id="f" * 16, at=Instant(plus=timedelta(days=-13)), status=400, error="x", reason="x")
    one_time_tokens.make(alice, purpose="expired", email="alice@example.com")
    OneTimeToken.objects.update(expires_at=Instant(plus=timedelta(seconds=-1)))
    one_time_tokens.make(alice, purpose="fresh", email="alice@example.com")
    for key, hours in (("old", -1), ("new", 1)):
        BrowserSession.objects.create(session_key=key, session_data="", expire_date=timezone.now() + timedelta(hours=hours))

    said = prune()

    assert [refusal.pk for refusal in Refusal.objects.all()] == ["f" * 16]
    assert [token.purpose for token in OneTimeToken.objects.all()] == ["fresh"]
    assert [session.session_key for session in BrowserSession.objects.all()] == ["new"]
    assert "refusals             5 removed" in said
    assert "one-time codes       1 removed" in said
    assert "browser sessions     1 removed" in said


def test_long_work_tells_how_far_it_is(make_session, small_batches, monkeypatch, prune):
    monkeypatch.setattr("oauth.management.commands.prune.PROGRESS_EVERY", 14)
    for _ in range(60):
        make_session(expired=timedelta(days=31))

    said = prune()

    told = [
        (int(looked_at), int(removed))
        for looked_at, removed in re.findall(r"^  (\d+) sessions looked at, (\d+) removed$", said, re.MULTILINE)
    ]
    assert told == sorted({*told})
    assert all(14 <= looked_at == removed <= 60 for looked_at, removed in told)
    assert len(told) >= 2


def test_a_database_that_does_not_answer_is_told_in_one_line(db, monkeypatch, prune):
    def fail(**_):
        raise OperationalError("canceling statement due to lock timeout")

    monkeypatch.setattr(session_pruning, "prune", fail)

    with pytest.raises(CommandError, match="run it again"):
        prune()


def _counted(column):
    """What PostgreSQL has counted of the table of sessions since it last told its statistics of it: to be compared with before."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM pg_stat_xact_user_tables WHERE relname = 'oauth_session'")
        return cursor.fetchone()[0]


if connection.vendor == "postgresql":

    def test_no_statement_of_it_waits_or_runs_for_long(db, prune):
        prune()

        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('lock_timeout'), current_setting('statement_timeout')")
            assert cursor.fetchone() == ("1s", "10s")

    def test_a_batch_reads_its_own_pages_and_no_others(make_session, small_batches):
        session = Session.objects.get(pk=make_session(expired=timedelta(days=31)).pk)
        fields = {field.attname: getattr(session, field.attname) for field in Session._meta.concrete_fields}
        Session.objects.bulk_create(Session(**fields | {"id": uuid4()}) for _ in range(499))  # of fewer pages all would be read
        before = _counted("seq_scan"), _counted("idx_scan")

        assert sum(batch.removed for batch in session_pruning.prune(keep=timedelta(days=30))) == 500

        assert (_counted("seq_scan"), _counted("idx_scan")) == before
        assert connection.features.minimum_database_version == (14,)  # Django refuses an older one, which knows no ranges of ctid

    def test_nothing_refers_to_a_session(db):
        with connection.cursor() as cursor:
            cursor.execute("SELECT conname FROM pg_constraint WHERE contype = 'f' AND confrelid = 'oauth_session'::regclass")
            assert cursor.fetchall() == []

    @pytest.mark.django_db(transaction=True)
    def test_a_batch_does_not_wait_for_the_disk_and_the_connection_does_again(make_session):
        def waits():
            with connection.cursor() as cursor:
                cursor.execute("SHOW synchronous_commit")
                return cursor.fetchone()[0]

        before = waits()
        make_session(expired=timedelta(days=31))

        with transaction.atomic():
            assert [*session_pruning.prune(keep=timedelta(days=30))]
            assert waits() == "off"
        assert waits() == before
        assert [*session_pruning.prune(keep=timedelta(days=30))]  # each batch in a transaction of its own
        assert waits() == before
