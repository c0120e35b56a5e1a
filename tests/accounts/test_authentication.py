"""Who someone is, by user name or e-mail and password; every refusal looks the same (accounts/authentication.py)."""

import logging
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth import authenticate as authenticate_in_browser
from django.contrib.auth.hashers import MD5PasswordHasher
from django.db import connection
from django.db.models import F

from accounts.authentication import AuthenticationFailed, Backend, record_sign_in
from accounts.lockout import Locked
from accounts.models import AuditEvent, LoginCounter, Role, User
from tests.accounts.attempts import authenticate
from tests.accounts.spellings import wide
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db


def refusal_of(identifier, password=PASSWORD):
    with pytest.raises(AuthenticationFailed) as refusal:
        authenticate(identifier, password=password)
    return refusal.value


@pytest.mark.checklist(42)
@pytest.mark.parametrize(
    "identifier",
    ["alice", "ALICE", " alice\t", wide("alice"), "alice@example.com", "Alice@EXAMPLE.com", wide("alice@example.com")],
)
def test_alice_signs_in_by_either_identifier_in_any_spelling(alice, bob, identifier):
    assert authenticate(identifier, password=PASSWORD).user == alice


@pytest.mark.parametrize("password", ["", "a wrong password", PASSWORD.upper(), PASSWORD + " ", " " + PASSWORD, PASSWORD[:-1]])
def test_a_wrong_password_is_refused(alice, password):
    refusal = refusal_of("alice", password)

    assert (refusal.reason, refusal.user) == ("wrong password", alice)


@pytest.mark.parametrize("identifier", ["", " ", "mallory", "mallory@example.com", "al\u200dice", "al\x00ice", "\ud800", "a" * 300])
def test_an_unknown_user_is_refused(alice, identifier):
    refusal = refusal_of(identifier)

    assert (refusal.reason, refusal.user) == ("unknown user", None)


def test_the_password_of_another_user_is_refused(alice, make_user):
    make_user("mallory", password="the password of mallory")

    assert refusal_of("alice", "the password of mallory").reason == "wrong password"


def test_a_disabled_user_is_refused_after_the_right_password(make_user):
    alice = make_user("alice", is_active=False)

    refusal = refusal_of("alice")

    assert (refusal.reason, refusal.user) == ("disabled user", alice)


def test_a_disabled_user_with_a_wrong_password_is_no_other_case_than_anyone(make_user):
    make_user("alice", is_active=False)

    assert refusal_of("alice", "a wrong password").reason == "wrong password"


@pytest.mark.parametrize("password", ["", PASSWORD, "!", "None"])
def test_a_user_without_a_password_is_refused(make_user, password):
    alice = make_user("alice", password=None)

    refusal = refusal_of("alice", password)

    assert (refusal.reason, refusal.user) == ("unknown user", alice)


@pytest.mark.parametrize("encoded", ["", "plain text", "unknown$1$salt$digest"])
def test_a_user_whose_hash_nothing_here_reads_is_refused(alice, encoded):
    User.objects.filter(pk=alice.pk).update(password=encoded)

    assert refusal_of("alice", encoded).reason == "unknown user"


def test_a_refusal_holds_neither_the_password_nor_the_hash(alice):
    refusal = refusal_of("alice", "a wrong password")

    assert "a wrong password" not in f"{refusal!r} {refusal}"
    assert alice.password not in f"{refusal!r} {refusal}"


def test_the_roles_of_the_moment_come_with_the_user(alice):
    assert authenticate("alice", password=PASSWORD).role_names == ("author", "reviewer")

    alice.roles.add(Role.objects.create(name="editor"))
    assert authenticate("alice", password=PASSWORD).role_names == ("author", "editor", "reviewer")


def test_a_user_without_roles_has_none(bob):
    assert authenticate("bob", password=PASSWORD).role_names == ()


def test_who_signs_in_is_read_as_the_orm_reads_them(alice):
    found = authenticate("alice", password=PASSWORD).user

    [read] = User.objects.filter(pk=alice.pk).with_role_names().with_second_factor()
    assert {**vars(found), "_state": None} == {**vars(read), "_state": None}
    assert found.get_deferred_fields() == set()
    assert (found._state.db, found._state.adding) == (read._state.db, read._state.adding)


def test_a_user_with_their_roles_is_one_statement_and_the_reservation_another(alice, count_statements):
    with count_statements() as of_the_first:
        record_sign_in(authenticate("alice", password=PASSWORD))
    with count_statements() as of_a_known_source:
        authenticate("alice", password=PASSWORD)
    with count_statements() as of_an_unknown_source:
        authenticate("alice", password=PASSWORD, address="192.0.2.2")

    assert len(of_the_first) == (4 if connection.vendor == "postgresql" else 6)
    assert (len(of_a_known_source), len(of_an_unknown_source)) == (2, 3)


def test_a_name_that_cannot_be_is_not_looked_for_and_is_counted(db, count_statements):
    with count_statements() as statements:
        refusal_of("al\u200dice")

    assert not any("accounts_user" in query["sql"] for query in statements.captured_queries)
    assert LoginCounter.objects.get(source="192.0.2.1").failures == 1


# --- The count ---------------------------------------------------------------------------------


@pytest.mark.checklist(36, 41)
def test_after_five_wrong_passwords_the_right_one_is_refused_before_it_is_hashed(alice, monkeypatch):
    for _ in range(5):
        refusal_of("alice", "a wrong password")
    hashed = []
    monkeypatch.setattr(MD5PasswordHasher, "verify", lambda *arguments: hashed.append(arguments))

    with pytest.raises(Locked):
        authenticate("alice", password=PASSWORD)

    assert hashed == []


@pytest.mark.checklist(42)
def test_every_spelling_of_a_name_is_counted_together(alice):
    for identifier in ("alice", " ALICE ", wide("alice"), "alice@example.com", wide("Alice@Example.com")):
        refusal_of(identifier, "a wrong password")

    with pytest.raises(Locked):
        authenticate("alice", password=PASSWORD)


@pytest.mark.checklist(34, 38)
def test_a_disabled_user_is_counted_and_locked_like_any_other(make_user):
    make_user("mallory", is_active=False)
    for _ in range(5):
        assert refusal_of("mallory").reason == "disabled user"

    with pytest.raises(Locked):
        authenticate("mallory", password=PASSWORD)


@pytest.mark.checklist(56)
def test_an_attempt_that_breaks_is_given_back(alice, monkeypatch):
    def fail(*arguments):
        raise MemoryError

    monkeypatch.setattr(MD5PasswordHasher, "verify", fail)

    for _ in range(6):
        with pytest.raises(MemoryError):
            authenticate("alice", password=PASSWORD)

    assert {(row.failures, len(row.in_flight)) for row in LoginCounter.objects.all()} == {(0, 0)}


@pytest.mark.checklist(54)
def test_failures_that_a_success_ends_are_told_with_it(alice):
    for _ in range(4):
        refusal_of("alice", "a wrong password")

    record_sign_in(authenticate("alice", password=PASSWORD))

    # The first of the four was the caller's to record, at once.
    event = AuditEvent.objects.get(event="user:sign_in:failed")
    assert (event.target, event.detail) == (str(alice.pk), {"door": "token", "reason": "wrong password", "count": 3})


# --- The stamp ---------------------------------------------------------------------------------


def test_signing_in_stamps_the_time_and_nothing_else(alice):
    before = User.objects.values().get(pk=alice.pk)

    record_sign_in(authenticate("alice", password=PASSWORD))

    after = User.objects.values().get(pk=alice.pk)
    stamp = after.pop("last_sign_in_at")
    assert abs(stamp - datetime.now(UTC)) < timedelta(minutes=1)
    assert before.pop("last_sign_in_at") is None
    assert after == before


@pytest.mark.parametrize(
    "change",
    [{"is_active": False}, {"session_epoch": F("session_epoch") + 1}],
    ids=["disabled", "signed out everywhere"],
)
def test_who_was_disabled_or_signed_out_everywhere_meanwhile_does_not_sign_in(alice, change):
    authenticated = authenticate("alice", password=PASSWORD)
    User.objects.filter(pk=alice.pk).update(**change)

    with pytest.raises(AuthenticationFailed) as refusal:
        record_sign_in(authenticated)

    assert refusal.value.reason == "changed meanwhile"
    assert User.objects.get(pk=alice.pk).last_sign_in_at is None


def test_who_was_deleted_meanwhile_does_not_sign_in(alice):
    authenticated = authenticate("alice", password=PASSWORD)
    User.objects.filter(pk=alice.pk).delete()

    with pytest.raises(AuthenticationFailed, match="changed meanwhile"):
        record_sign_in(authenticated)


def test_a_password_changed_meanwhile_keeps_the_old_one_out(alice):
    authenticated = authenticate("alice", password=PASSWORD)
    changed = User.objects.get(pk=alice.pk)
    changed.set_password("another horse battery")
    changed.save()

    with pytest.raises(AuthenticationFailed, match="changed meanwhile"):
        record_sign_in(authenticated)


# --- In the browser ----------------------------------------------------------------------------


@pytest.mark.parametrize("identifier", ["root", "ROOT@EXAMPLE.COM"])
def test_the_browser_signs_in_by_the_same_rules(make_user, identifier):
    root = make_user("root", is_staff=True)

    assert authenticate_in_browser(username=identifier, password=PASSWORD) == root
    assert User.objects.get(pk=root.pk).last_sign_in_at is not None


@pytest.mark.parametrize(
    ("identifier", "password"),
    [
        ("root", "a wrong password"),
        ("root", ""),
        ("root", "p" * 2000),
        ("mallory", PASSWORD),
        ("disabled", PASSWORD),
        ("", ""),
    ],
)
def test_the_browser_is_refused_by_the_same_rules(alice, make_user, identifier, password):
    make_user("root", is_staff=True)
    make_user("disabled", is_staff=True, is_active=False)

    assert authenticate_in_browser(username=identifier, password=password) is None
    assert not User.objects.filter(last_sign_in_at__isnull=False).exists()


@pytest.mark.parametrize("credentials", [{}, {"username": "alice"}, {"password": PASSWORD}, {"token": "something"}])
def test_credentials_of_another_kind_sign_nobody_in(alice, credentials):
    assert Backend().authenticate(None, **credentials) is None


def test_a_refusal_in_the_browser_is_logged_with_its_reason_and_without_what_was_typed(alice, caplog):
    with caplog.at_level(logging.INFO, logger="accounts.authentication"):
        authenticate_in_browser(username="alice", password="a wrong password")

    (record,) = [record for record in caplog.records if record.name == "accounts.authentication"]
    assert record.reason == "wrong password"
    assert "a wrong password" not in str(vars(record))
    assert "alice" not in str(vars(record))
