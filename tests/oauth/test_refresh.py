"""Refresh: rotation, reuse, the two mercies, catching up, and everything that ends a session."""

import uuid
from datetime import timedelta

import pytest
from django.conf import settings as django_settings
from django.db import OperationalError, connection

from accounts.models import AuditEvent, User
from oauth import foreign_tokens, refresh_tokens, session_rows, sessions
from oauth.models import Client, Session

KEY = "a-key-that-no-thief-knows"


def token_of(answer):
    return answer.body["refresh_token"]


def assert_dead(answer):
    assert (answer.status, answer.error) == (400, "invalid_grant"), answer.body


def events():
    return list(AuditEvent.objects.filter(event__startswith="session:").order_by("id").values_list("event", flat=True))


def forget_generations(count):
    """What a failover to a replica does that had not received the last writes."""
    session = Session.objects.get()
    Session.objects.update(generation=session.generation - count)


def reissue(answer, *, ahead):
    """The token that is `ahead` generations past this answer's, as we would have issued it."""
    token = refresh_tokens.decode(token_of(answer), keys=django_settings.TOKEN_KEYS)
    return refresh_tokens.encode(refresh_tokens.RefreshToken(token.handle, token.generation + ahead), keys=django_settings.TOKEN_KEYS)


# --- Rotation ----------------------------------------------------------------------------------


@pytest.mark.checklist(58)
@pytest.mark.spec("RFC 6749", "6", "the authorization server MAY issue a new refresh token")
def test_every_refresh_gives_a_new_token_of_the_same_session(signed_in, refresh, claims_of):
    answers = [signed_in]
    for _ in range(5):
        answers.append(refresh(token_of(answers[-1])))

    assert {answer.status for answer in answers} == {200}
    assert len({token_of(answer) for answer in answers}) == 6
    assert len({answer.body["access_token"] for answer in answers}) == 6
    assert len({claims_of(answer)["sid"] for answer in answers}) == 1
    assert len({claims_of(answer)["auth_time"] for answer in answers}) == 1
    assert Session.objects.get().generation == 5


def test_a_refresh_reads_the_roles_of_today(signed_in, refresh, claims_of, alice):
    alice.roles.clear()

    assert claims_of(refresh(token_of(signed_in)))["roles"] == []


def test_a_refresh_slides_the_end_of_the_session(signed_in, refresh, later):
    before = Session.objects.get().expires_at
    later(days=10)

    refresh(token_of(signed_in))

    assert abs((Session.objects.get().expires_at - before) - timedelta(days=10)) < timedelta(seconds=5)


def test_a_refresh_notes_where_it_came_from(signed_in, refresh):
    refresh(token_of(signed_in), REMOTE_ADDR="198.51.100.7", HTTP_USER_AGENT="Editor/2\x00" + "x" * 500)

    session = Session.objects.get()
    assert session.address == "198.51.100.7"
    assert session.user_agent.startswith("Editor/2?x")
    assert len(session.user_agent) == 200


# --- Reuse -------------------------------------------------------------------------------------


@pytest.mark.checklist(59)
@pytest.mark.spec("RFC 9700", "4.14.2", "reuse revokes the active refresh token")
def test_replaying_a_consumed_token_revokes_the_whole_session(signed_in, refresh, later):
    live = refresh(token_of(signed_in))
    later(minutes=5)

    assert_dead(refresh(token_of(signed_in)))

    assert_dead(refresh(token_of(live)))
    session = Session.objects.get()
    assert session.revoked_reason == "refresh_token_reused"
    assert events() == ["session:refresh_token:reused"]


@pytest.mark.checklist(62, 64, 76)
@pytest.mark.parametrize("age", [0, 1, 5])
def test_reuse_is_known_at_any_age_of_the_token(signed_in, refresh, age):
    answers = [signed_in]
    for _ in range(6):
        answers.append(refresh(token_of(answers[-1])))

    assert_dead(refresh(token_of(answers[age])))

    assert_dead(refresh(token_of(answers[-1])))
    assert Session.objects.get().revoked_at is not None


def test_reuse_is_recorded_once_however_often_it_is_tried(signed_in, refresh):
    refresh(token_of(signed_in))

    for _ in range(4):
        assert_dead(refresh(token_of(signed_in)))

    assert events() == ["session:refresh_token:reused"]


def test_reuse_with_a_scope_that_would_be_refused_ends_the_session_all_the_same(signed_in, refresh):
    live = refresh(token_of(signed_in))

    assert_dead(refresh(token_of(signed_in), scope="admin"))

    assert_dead(refresh(token_of(live)))


def test_a_record_that_cannot_be_written_does_not_keep_the_session_alive(signed_in, refresh, monkeypatch, caplog):
    live = refresh(token_of(signed_in))

    def fail(event, **fields):
        raise OperationalError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(sessions.audit, "record", fail)
        assert refresh(token_of(signed_in)).error == "temporarily_unavailable"

    assert_dead(refresh(token_of(live)))
    assert Session.objects.get().revoked_reason == "refresh_token_reused"
    assert "without a record" in caplog.text


def test_the_record_of_a_reuse_names_the_error_id_of_its_answer(signed_in, refresh):
    refresh(token_of(signed_in))

    answer = refresh(token_of(signed_in))

    assert AuditEvent.objects.get(event="session:refresh_token:reused").error_id == answer.body["error_id"]


@pytest.mark.checklist(67)
def test_another_clients_token_is_refused_and_stays_alive(signed_in, refresh, make_client):
    make_client("mallorys-app")
    live = refresh(token_of(signed_in))

    assert_dead(refresh(token_of(live), client_id="mallorys-app"))
    assert_dead(refresh(token_of(signed_in), client_id="mallorys-app"))

    assert refresh(token_of(live)).status == 200
    assert events() == ["session:refresh_token:presented_by_another_client"]


@pytest.mark.checklist(67)
def test_another_clients_token_that_comes_again_and_again_fills_no_log(signed_in, refresh, make_client, monkeypatch):
    make_client("mallorys-app")
    make_client("another-app")

    for client_id in ("mallorys-app", "another-app", "mallorys-app", "mallorys-app"):
        assert_dead(refresh(token_of(signed_in), client_id=client_id))
    assert events() == [foreign_tokens.EVENT] * 2

    an_hour_later = foreign_tokens.time.monotonic() + foreign_tokens.ONCE_IN_SECONDS
    monkeypatch.setattr(foreign_tokens.time, "monotonic", lambda: an_hour_later)
    assert_dead(refresh(token_of(signed_in), client_id="mallorys-app"))
    assert events() == [foreign_tokens.EVENT] * 3


def test_of_foreign_tokens_no_more_is_remembered_than_there_is_room_for(monkeypatch):
    monkeypatch.setattr(foreign_tokens, "MOST_REMEMBERED", 2)
    recent, ids = foreign_tokens.Recent(), [uuid.UUID(int=number) for number in range(3)]

    for session_id in ids:
        recent.add(session_id, "mallorys-app")

    assert [recent.has(session_id, "mallorys-app") for session_id in ids] == [False, True, True]


@pytest.mark.checklist(72)
def test_other_tokens_are_no_refresh_tokens(signed_in, refresh):
    assert_dead(refresh(signed_in.body["access_token"]))
    assert_dead(refresh("x" * 60_000))
    assert_dead(refresh(token_of(signed_in) + "="))


@pytest.mark.checklist(78)
def test_nothing_that_is_stored_of_a_session_is_a_token(signed_in, refresh):
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM oauth_session")
        row = cursor.fetchone()

    assert token_of(signed_in) not in str(row)
    for value in row:
        assert_dead(refresh(str(value) or "-"))


def test_garbage_is_refused_without_asking_for_a_session(signed_in, refresh, count_statements):
    with count_statements() as statements:
        assert_dead(refresh("A" * 52))

    assert not [query["sql"] for query in statements.captured_queries if "accounts_refusal" not in query["sql"]]


# --- Mercy: Idempotency-Key --------------------------------------------------------------------


@pytest.mark.checklist(61)
def test_a_retry_with_its_key_gets_the_same_successor_and_a_new_access_token(signed_in, refresh, later):
    first = refresh(token_of(signed_in), key=KEY)
    later(seconds=59)

    again = refresh(token_of(signed_in), key=KEY, REMOTE_ADDR="203.0.113.9")

    assert token_of(again) == token_of(first)
    assert again.body["access_token"] != first.body["access_token"]
    assert refresh(token_of(again)).status == 200
    assert events() == ["session:refresh:retried"]


@pytest.mark.checklist(61)
def test_after_sixty_seconds_a_retry_is_reuse(signed_in, refresh, later):
    first = refresh(token_of(signed_in), key=KEY)
    later(seconds=61)

    assert_dead(refresh(token_of(signed_in), key=KEY))

    assert_dead(refresh(token_of(first)))


@pytest.mark.parametrize("key", ["", "another-key-of-a-thief"])
def test_a_retry_without_the_key_or_with_another_is_reuse(signed_in, refresh, key):
    first = refresh(token_of(signed_in), key=KEY)

    assert_dead(refresh(token_of(signed_in), key=key))

    assert_dead(refresh(token_of(first)))


@pytest.mark.checklist(62)
def test_the_key_helps_only_the_immediate_predecessor(signed_in, refresh):
    first = refresh(token_of(signed_in), key=KEY)
    second = refresh(token_of(first), key="another-key-entirely")

    assert_dead(refresh(token_of(signed_in), key=KEY))

    assert_dead(refresh(token_of(second)))


def test_a_key_sent_with_a_newer_token_is_an_ordinary_refresh(signed_in, refresh):
    first = refresh(token_of(signed_in), key=KEY)

    second = refresh(token_of(first), key=KEY)

    assert token_of(second) not in {token_of(first), token_of(signed_in)}
    assert Session.objects.get().generation == 2


def test_a_retry_may_ask_any_scope_within_the_grant_and_none_beyond(signed_in, refresh):
    first = refresh(token_of(signed_in), key=KEY, scope="api:read")

    assert refresh(token_of(signed_in), key=KEY, scope="api:write").body["scope"] == "api:write"
    assert refresh(token_of(signed_in), key=KEY, scope="admin").error == "invalid_scope"
    assert refresh(token_of(first)).status == 200


def test_a_retry_is_known_while_the_token_keys_are_changed(signed_in, refresh, settings):
    old, new = django_settings.TOKEN_KEYS[0], "a key that is moved to the front now"
    settings.TOKEN_KEYS = (old, new)
    refresh(token_of(signed_in), key=KEY)
    settings.TOKEN_KEYS = (new, old)

    again = refresh(token_of(signed_in), key=KEY)

    assert again.status == 200
    assert refresh(token_of(again)).status == 200


# --- Mercy: overlap ----------------------------------------------------------------------------


@pytest.fixture
def overlap(settings):
    settings.REFRESH_OVERLAP_SECONDS = 10


def test_within_the_overlap_the_predecessor_gets_the_same_successor(signed_in, refresh, overlap, later):
    first = refresh(token_of(signed_in))
    later(seconds=9)

    again = refresh(token_of(signed_in))

    assert token_of(again) == token_of(first)
    assert refresh(token_of(first)).status == 200
    assert events() == ["session:refresh:overlapped"]


def test_after_the_overlap_the_predecessor_is_reuse(signed_in, refresh, overlap, later):
    first = refresh(token_of(signed_in))
    later(seconds=11)

    assert_dead(refresh(token_of(signed_in)))

    assert_dead(refresh(token_of(first)))


def test_a_clock_that_steps_back_makes_no_overlap_where_none_is_allowed(signed_in, refresh, later):
    live = refresh(token_of(signed_in))
    later(hours=-1)

    assert_dead(refresh(token_of(signed_in)))
    later(hours=1)

    assert_dead(refresh(token_of(live)))


@pytest.mark.checklist(62)
def test_the_overlap_helps_only_the_immediate_predecessor(signed_in, refresh, overlap):
    second = refresh(token_of(refresh(token_of(signed_in))))

    assert_dead(refresh(token_of(signed_in)))

    assert_dead(refresh(token_of(second)))


@pytest.mark.parametrize(
    ("rotated_from", "presented_from", "answered"),
    [
        ("198.51.100.7", "198.51.100.200", 200),
        ("198.51.100.7", "198.51.101.7", 400),
        ("2001:db8:0:1::5", "2001:db8:0:1:ffff::9", 200),
        ("2001:db8:0:1::5", "2001:db8:0:2::5", 400),
        ("198.51.100.7", "::ffff:198.51.100.9", 200),
    ],
)
def test_the_overlap_holds_within_one_network(signed_in, refresh, overlap, rotated_from, presented_from, answered):
    refresh(token_of(signed_in), REMOTE_ADDR=rotated_from)

    assert refresh(token_of(signed_in), REMOTE_ADDR=presented_from).status == answered


def test_a_client_may_have_an_overlap_of_its_own(signed_in, refresh):
    Client.objects.update(refresh_overlap_seconds=10)
    from oauth import clients

    clients.cache.forget()
    first = refresh(token_of(signed_in))

    assert token_of(refresh(token_of(signed_in))) == token_of(first)


@pytest.mark.checklist(63)
@pytest.mark.parametrize("key", ["", KEY])
def test_no_mercy_revives_a_revoked_session(signed_in, refresh, overlap, key):
    refresh(token_of(signed_in), key=key)
    sessions.revoke(Session.objects.get().pk, reason="test")

    assert_dead(refresh(token_of(signed_in), key=key))

    assert Session.objects.get().revoked_reason == "test"


@pytest.mark.parametrize("key", ["", KEY])
@pytest.mark.parametrize(
    "kill",
    [
        lambda: User.objects.update(is_active=False),
        lambda: User.objects.update(session_epoch=5),
        lambda: Client.objects.update(is_active=False),
        lambda: Session.objects.update(expires_at="2020-01-01T00:00:00Z"),
    ],
    ids=["user disabled", "epoch raised", "client disabled", "expired"],
)
def test_no_mercy_for_a_session_that_is_dead_for_another_reason(signed_in, refresh, overlap, key, kill):
    refresh(token_of(signed_in), key=key)
    kill()

    assert_dead(refresh(token_of(signed_in), key=key))


# --- What ends a session -----------------------------------------------------------------------


@pytest.mark.checklist(29, 68, 69, 71, 74)
@pytest.mark.parametrize(
    "kill",
    [
        lambda: User.objects.update(is_active=False),
        lambda: User.objects.update(session_epoch=5),
        lambda: User.objects.all().delete(),
        lambda: Client.objects.update(is_active=False),
        lambda: Session.objects.update(expires_at="2020-01-01T00:00:00Z"),
        lambda: sessions.revoke(Session.objects.get().pk, reason="test"),
    ],
    ids=["user disabled", "epoch raised", "user deleted", "client disabled", "expired", "revoked"],
)
def test_what_ends_a_session_ends_refresh_at_the_next_request(signed_in, refresh, kill):
    kill()

    assert_dead(refresh(token_of(signed_in)))


@pytest.mark.checklist(69)
def test_a_changed_password_ends_the_sessions_that_the_old_one_opened(signed_in, sign_in, refresh, alice):
    alice.set_password("another good password")
    alice.save()

    assert_dead(refresh(token_of(signed_in)))
    assert refresh(token_of(sign_in("alice", "another good password"))).status == 200


@pytest.mark.checklist(71)
def test_an_idle_session_expires_to_the_second(signed_in, refresh, later):
    later(days=30, seconds=-2)
    live = refresh(token_of(signed_in))
    assert live.status == 200
    later(days=30, seconds=1)

    assert_dead(refresh(token_of(live)))


@pytest.mark.checklist(71)
def test_the_cap_ends_a_session_that_is_refreshed_daily(sign_in, refresh, later, settings):
    settings.SESSION_MAX_AGE = timedelta(days=3)
    live = sign_in()
    for _ in range(2):
        later(days=1)
        live = refresh(token_of(live))
        assert live.status == 200
    later(days=1, seconds=1)

    assert_dead(refresh(token_of(live)))


@pytest.mark.checklist(74)
def test_a_client_that_lost_the_refresh_grant_cannot_refresh(signed_in, refresh):
    Client.objects.update(grant_types=["password"])
    from oauth import clients

    clients.cache.forget()

    assert refresh(token_of(signed_in)).error == "unauthorized_client"


# --- Scope -------------------------------------------------------------------------------------


@pytest.mark.checklist(66)
@pytest.mark.spec("RFC 6749", "6", "the requested scope MUST NOT include any scope not originally granted")
def test_scope_may_be_narrowed_and_widened_again_up_to_the_grant(sign_in, refresh, claims_of):
    narrowed = refresh(token_of(sign_in(scope="api:read api:write")), scope="api:read")
    widened = refresh(token_of(narrowed), scope="api:read api:write")
    unspoken = refresh(token_of(widened))

    assert (narrowed.body["scope"], claims_of(narrowed)["scope"]) == ("api:read", "api:read")
    assert widened.body["scope"] == unspoken.body["scope"] == "api:read api:write"


@pytest.mark.checklist(66)
@pytest.mark.parametrize("scope", ["admin", "api:read api:write", "api:read  x", 'quo"te'])
def test_a_scope_beyond_the_grant_is_refused_and_nothing_is_spent(sign_in, refresh, scope):
    answer = sign_in(scope="api:read")

    refused = refresh(token_of(answer), scope=scope)

    assert (refused.status, refused.error) == (400, "invalid_scope")
    assert refresh(token_of(answer)).status == 200


def test_the_scope_is_cut_to_what_the_client_may_have_today(signed_in, refresh):
    from oauth import clients

    Client.objects.update(allowed_scopes="api:read", default_scopes="api:read")
    clients.cache.forget()
    cut = refresh(token_of(signed_in))
    Client.objects.update(allowed_scopes="api:read api:write")
    clients.cache.forget()

    assert cut.body["scope"] == "api:read"
    assert refresh(token_of(cut)).body["scope"] == "api:read api:write"


# --- A database that forgot --------------------------------------------------------------------


def test_a_session_that_is_behind_its_token_catches_up(signed_in, refresh):
    live = signed_in
    for _ in range(4):
        live = refresh(token_of(live))
    forget_generations(3)

    caught_up = refresh(token_of(live))

    assert caught_up.status == 200
    assert Session.objects.get().generation == 5
    assert events() == ["session:refresh:caught_up"]
    assert AuditEvent.objects.get(event="session:refresh:caught_up").detail["gap"] == 3
    assert_dead(refresh(token_of(live)))


@pytest.mark.parametrize(("ahead", "status"), [(16, 200), (17, 400), (2_000_000_000, 400)])
def test_the_gap_that_is_caught_up_is_bounded(signed_in, refresh, ahead, status):
    answer = refresh(reissue(signed_in, ahead=ahead))

    assert answer.status == status
    assert Session.objects.get().revoked_at is None


def test_catching_up_can_be_switched_off(signed_in, refresh, settings):
    settings.REFRESH_CATCH_UP_GENERATIONS = 0

    assert_dead(refresh(reissue(signed_in, ahead=1)))
    assert refresh(token_of(signed_in)).status == 200


def test_a_dead_session_does_not_catch_up(signed_in, refresh):
    User.objects.update(is_active=False)

    assert_dead(refresh(reissue(signed_in, ahead=2)))
    assert Session.objects.get().generation == 0


def test_the_last_generation_is_not_refreshed(signed_in, refresh):
    assert_dead(refresh(reissue(signed_in, ahead=refresh_tokens.MAX_GENERATION)))


def test_a_request_whose_commit_was_not_acknowledged_recognises_it(signed_in, refresh, monkeypatch):
    """The connection breaks after the commit; the repetition inside the request finds its own work, not a reuse."""
    real, broken = session_rows.advance, []

    def advance_and_lose_the_answer(attempt, *, expected):
        advanced = real(attempt, expected=expected)
        if not broken:
            broken.append(advanced)
            advanced = real(attempt, expected=expected)
        return advanced

    monkeypatch.setattr(session_rows, "advance", advance_and_lose_the_answer)

    answer = refresh(token_of(signed_in))

    assert broken[0] is not None
    assert answer.status == 200
    assert Session.objects.get().generation == 1
    assert refresh(token_of(answer)).status == 200


def test_a_store_that_fails_spends_nothing(signed_in, refresh, monkeypatch):
    def fail(sql, parameters):
        raise OperationalError("gone")

    with monkeypatch.context() as patched:
        patched.setattr(session_rows.statements, "fetch_one", fail)
        assert refresh(token_of(signed_in)).error == "temporarily_unavailable"

    assert refresh(token_of(signed_in)).status == 200
