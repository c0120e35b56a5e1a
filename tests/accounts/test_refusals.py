"""Refusals on record: found by their error_id, bounded, and without what was typed."""

import base64
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import DatabaseError, InterfaceError

from accounts import refusals
from accounts.models import Refusal
from tests.conftest import PASSWORD


@pytest.fixture(autouse=True)
def _new_process(monkeypatch):
    monkeypatch.setattr(refusals, "allowance", refusals.Allowance())
    monkeypatch.setattr(refusals, "pruning", refusals.Pruning(every_seconds=refusals.PRUNE_EVERY_SECONDS))


def stored(answer):
    return Refusal.objects.get(pk=answer.body["error_id"])


def test_a_wrong_password_is_found_by_its_error_id_with_user_client_and_shape(sign_in, alice):
    refusal = stored(sign_in("alice", "not the password", HTTP_USER_AGENT="Editor/1", zzz="1"))

    assert (refusal.status, refusal.error, refusal.reason) == (400, "invalid_grant", "wrong password")
    assert (refusal.client_id, refusal.user_id, refusal.address, refusal.user_agent) == ("editor", alice.pk, "127.0.0.1", "Editor/1")
    assert refusal.shape == {
        "path": "/oauth/token",
        "grant_type": "password",
        "parameters": ["client_id", "grant_type", "password", "username"],
        "unknown_parameters": 1,
        "client_authentication": "none",
        "idempotency_key": False,
    }


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        ({"client_id": "nobody"}, "client unknown"),
        ({"client_id": ""}, "no client named"),
        ({"client_secret": "a secret typed by mistake"}, "public client sent a secret"),
        ({"username": "somebody"}, "unknown user"),
        ({"scope": "admin"}, "scope not allowed to this client and grant"),
        ({"grant_type": "zzz"}, "unknown grant_type, or switched off"),
        ({"grant_type": "client_credentials"}, "grant type not among the client's"),
        ({"grant_type": "refresh_token", "refresh_token": "x"}, "refresh token not of the form of a refresh token"),
    ],
    ids=str,
)
def test_every_refusal_from_client_authentication_on_is_stored_with_its_true_reason(sign_in, form, reason):
    answer = sign_in(form.pop("username", "alice"), **form)

    assert stored(answer).reason == reason
    assert reason not in answer.response.content.decode()


def test_what_is_malformed_before_that_is_not_stored(post, db):
    answer = post(b"grant_type=password&grant_type=password")

    assert answer.body["error_id"]
    assert Refusal.objects.count() == 0


def test_nothing_that_was_typed_is_stored(sign_in, refresh, signed_in):
    secrets = [
        "typed-user-name",
        "typed-password",
        "typed-client",
        "typed-secret",
        "typed-scope",
        "typed-parameter",
        signed_in.body["refresh_token"],
    ]
    sign_in("typed-user-name", "typed-password")
    sign_in(client_id="typed-client", client_secret="typed-secret")
    sign_in(client_id="", HTTP_AUTHORIZATION="Basic " + base64.b64encode(b"typed-client:typed-secret").decode())
    sign_in(scope="typed-scope", **{"typed-parameter": "x"})
    sign_in(grant_type="typed-parameter")
    refresh(signed_in.body["refresh_token"])
    refresh(signed_in.body["refresh_token"])

    rows = str(list(Refusal.objects.values()))
    assert Refusal.objects.count() == 6
    assert not [secret for secret in secrets if secret in rows]


def test_reuse_is_stored_with_the_session_s_user(signed_in, refresh, alice):
    refresh(signed_in.body["refresh_token"])

    refusal = stored(refresh(signed_in.body["refresh_token"]))

    assert (refusal.reason, refusal.user_id) == ("refresh token reused", alice.pk)


def test_a_flood_is_stored_in_part_and_counted_for_the_rest(sign_in, monkeypatch):
    monkeypatch.setattr(refusals, "BURST", 3.0)
    monkeypatch.setattr(refusals, "PER_SECOND", 0.0)
    refusals.allowance._left = 3.0
    for _ in range(10):
        sign_in("nobody")
    assert Refusal.objects.count() == 3

    refusals.allowance._left = 1.0
    assert stored(sign_in("nobody")).skipped_before == 7


def test_rows_are_removed_after_two_weeks(sign_in, later):
    old = stored(sign_in("nobody"))
    later(days=13)
    kept = stored(sign_in("nobody"))
    later(days=2)

    assert refusals.prune() == 1

    assert list(Refusal.objects.all()) == [kept]
    assert not Refusal.objects.filter(pk=old.pk).exists()


def test_a_process_prunes_now_and_then_by_itself(sign_in, later, monkeypatch):
    sign_in("nobody")
    later(seconds=(refusals.KEPT_FOR + timedelta(seconds=5)).total_seconds())
    monkeypatch.setattr(refusals, "pruning", refusals.Pruning(every_seconds=refusals.PRUNE_EVERY_SECONDS))

    sign_in("nobody")

    assert Refusal.objects.count() == 1


@pytest.mark.parametrize("error", [DatabaseError, InterfaceError])
def test_a_store_that_fails_does_not_fail_the_answer(sign_in, monkeypatch, caplog, error):
    def fail(**fields):
        raise error

    monkeypatch.setattr(Refusal.objects, "create", fail)
    monkeypatch.setattr(refusals.connection, "close", lambda: None)  # the test's own transaction

    answer = sign_in("nobody")

    assert (answer.status, answer.error) == (400, "invalid_grant")
    assert "a refusal could not be stored" in caplog.text


def test_a_success_stores_nothing(sign_in):
    sign_in("alice", PASSWORD)

    assert Refusal.objects.count() == 0


def test_explain_tells_the_reason_and_what_to_do(sign_in, alice, capsys):
    answer = sign_in("alice", "wrong")

    call_command("explain", answer.body["error_id"].upper())

    output = capsys.readouterr().out
    for part in ("wrong password", "400 invalid_grant", "editor", "alice", str(alice.pk), "grant_type=password", "what to do"):
        assert part in output


def test_explain_says_when_it_does_not_know(db):
    with pytest.raises(CommandError, match="14 days"):
        call_command("explain", "0123456789abcdef")


def test_more_is_removed_than_can_be_written():
    assert refusals.PRUNE_BATCH / refusals.PRUNE_EVERY_SECONDS > refusals.PER_SECOND
