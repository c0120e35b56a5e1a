"""A database is restored from a backup, and what was revoked since is revoked again.

Here the restore is a savepoint that is rolled back: the rows are as they were, and the export of the audit log knows what happened.
tests/e2e/test_recovery.py does it with the programs that an operator has.
"""

import json
from contextlib import contextmanager
from datetime import timedelta
from io import StringIO
from types import SimpleNamespace

import pytest
from allauth.mfa.models import Authenticator
from django.contrib.auth.models import Group, Permission
from django.contrib.sessions.models import Session as BrowserSession
from django.core.management import CommandError, call_command
from django.db import transaction
from django.utils import timezone

from accounts import account_changes, audit, clock, passwords, second_factors, users
from accounts.actors import NOBODY
from accounts.models import AuditEvent, OneTimeToken, User
from oauth import client_switch, clients, consents, key_rotation, own_sessions, session_ending, sessions
from oauth.models import Client, Consent, Session, SigningKey
from oauth.restored import done, endings, forgotten, replay
from tests.conftest import PASSWORD

WHY = {"actor": NOBODY, "reason": "a test"}


@pytest.fixture
def backup(tmp_path):
    """What is done within it is forgotten by the database, and told by the export `path`."""

    @contextmanager
    def make():
        made = SimpleNamespace(at=clock.database_now(), path=tmp_path / "audit.jsonl")
        savepoint = transaction.savepoint()
        yield made
        output = StringIO()
        call_command("audit_export", stdout=output)
        made.path.write_text(output.getvalue(), encoding="utf-8")
        transaction.savepoint_rollback(savepoint)
        clients.cache.forget()

    return make


@pytest.fixture
def restored(db):
    """Run the command after the restore of this backup; what it printed, by its rows."""

    def run(made, *options, audit=True):
        output = StringIO()
        source = ["--audit", str(made.path)] if audit else []
        call_command("after_restore", "--backup-time", made.at.isoformat(), *source, *options, stdout=output)
        run.text = output.getvalue()
        rows = (line.rsplit(None, 1) for line in run.text.splitlines())
        return {row[0]: int(row[1].replace(",", "")) for row in rows if len(row) == 2 and row[1].replace(",", "").isdigit()}

    return run


@pytest.fixture
def lacking(tmp_path):
    """The same backup, with an export that lacks those events of this name: an hourly file was not there."""

    def make(made, name, **detail):
        events = (json.loads(line) for line in made.path.read_text("utf-8").splitlines())
        kept = [event for event in events if event["event"] != name or not detail.items() <= event["detail"].items()]
        (tmp_path / "lacking.jsonl").write_text("".join(f"{json.dumps(event)}\n" for event in kept), "utf-8")
        return SimpleNamespace(at=made.at, path=tmp_path / "lacking.jsonl")

    return make


def events(name):
    return AuditEvent.objects.filter(event=name).count()


# --- Sessions ------------------------------------------------------------------------------------


def test_what_was_ended_stays_ended_and_what_was_refreshed_goes_on(sign_in, refresh, session_of, backup, restored, alice):
    ended, reused, refreshed, quiet = (sign_in() for _ in range(4))
    with backup() as made:
        own_sessions.end(session_of(ended).pk, user=alice, actor=NOBODY)
        refresh(reused.body["refresh_token"])
        assert refresh(reused.body["refresh_token"]).error == "invalid_grant"
        newest = refresh(refresh(refreshed.body["refresh_token"]).body["refresh_token"]).body["refresh_token"]
        lost = sign_in()

    rows = restored(made)

    assert rows["sessions ended one by one"] == 2
    assert refresh(ended.body["refresh_token"]).error == "invalid_grant"
    assert refresh(reused.body["refresh_token"]).error == "invalid_grant"
    assert Session.objects.get(pk=session_of(reused).pk).revoked_reason == sessions.REUSED
    assert refresh(newest).status == 200
    assert events("session:refresh:caught_up") == 1
    assert refresh(quiet.body["refresh_token"]).status == 200
    assert refresh(lost.body["refresh_token"]).error == "invalid_grant"
    told = AuditEvent.objects.filter(event="session:revocation:succeeded", target=session_of(ended).pk).get().detail
    assert told == {"by": "after_restore", "event": "session:revocation:succeeded"}


def test_all_sessions_of_a_client_end_that_were_opened_by_then(sign_in, refresh, backup, restored, editor):
    old = sign_in()
    with backup() as made:
        session_ending.end_all(client=editor, **WHY)
    new = sign_in()

    assert restored(made)["sessions ended with all others"] == 1
    assert refresh(old.body["refresh_token"]).error == "invalid_grant"
    assert refresh(new.body["refresh_token"]).status == 200


@pytest.fixture
def ending(monkeypatch):
    """Of all sessions of everybody, and where it stands after the first one. Each batch is one."""
    monkeypatch.setattr(session_ending, "BATCH", 1)
    steps = session_ending.progress(client=None, **WHY)

    def begin():
        next(steps)
        return steps

    return begin


@pytest.mark.parametrize("is_early", [False, True])
@pytest.mark.parametrize("is_interrupted", [False, True])
def test_an_ending_that_goes_on_while_the_backup_is_made_is_done_again(
    sign_in, refresh, backup, restored, ending, is_early, is_interrupted
):
    old, before = [sign_in() for _ in range(3)], clock.database_now()
    steps = ending()
    new = sign_in()
    with backup() as made:
        next(steps)
        if not is_interrupted:
            assert [*steps][-1].count == 3
    made.at = before if is_early else made.at

    assert restored(made)["sessions ended with all others"] == 2
    assert {refresh(each.body["refresh_token"]).error for each in old} == {"invalid_grant"}
    assert refresh(new.body["refresh_token"]).status == 200


def test_an_ending_whose_beginning_the_export_lacks_is_done_again(sign_in, refresh, backup, restored, lacking, ending):
    old = [sign_in() for _ in range(3)]
    steps = ending()
    with backup() as made:
        assert [*steps][-1].count == 3
    new = sign_in()

    assert restored(lacking(made, "sessions:ending:started"))["sessions ended with all others"] == 2
    assert {refresh(each.body["refresh_token"]).error for each in old} == {"invalid_grant"}
    assert refresh(new.body["refresh_token"]).status == 200


def test_an_ending_that_the_database_has_whole_is_passed_over(sign_in, backup, restored, monkeypatch):
    """It was stopped before the last session, and what it left was left."""
    monkeypatch.setattr(session_ending, "BATCH", 1)
    sign_in(), sign_in()
    before = clock.database_now()
    assert session_ending.end_all(client=None, within=timedelta(0), **WHY).count == 1
    with backup() as made:
        pass
    made.at = before

    restored(made)

    assert Session.objects.filter(revoked_at=None).count() == 1


def test_what_a_restore_without_an_export_ended_stays_ended_when_the_same_backup_is_restored_again(sign_in, refresh, backup, restored):
    old = sign_in()
    with backup() as made:
        restored(made, audit=False)
        assert refresh(old.body["refresh_token"]).error == "invalid_grant"
    new = sign_in()

    assert restored(made)["sessions ended with all others"] == 1
    assert refresh(old.body["refresh_token"]).error == "invalid_grant"
    assert refresh(new.body["refresh_token"]).status == 200


def test_a_consent_that_was_taken_back_is_asked_for_again(sign_in, refresh, backup, restored, alice, editor):
    consents.give(alice, client=editor, scope="api:read", actor=NOBODY)
    token = sign_in().body["refresh_token"]
    with backup() as made:
        consents.withdraw(alice, client=editor, actor=NOBODY)

    assert restored(made)["consents taken back"] == 1
    assert not Consent.objects.exists()
    assert refresh(token).error == "invalid_grant"

    consents.give(alice, client=editor, scope="api:read", actor=NOBODY)
    assert restored(made)["consents taken back"] == 0
    assert Consent.objects.exists()


# --- People --------------------------------------------------------------------------------------


def test_who_was_disabled_is_disabled_even_the_last_superuser(backup, restored, make_user, sign_in, alice):
    root = make_user("root", is_staff=True, is_superuser=True)
    sign_in()
    with backup() as made:
        users.disable(alice, **WHY)
        other = make_user("other", is_staff=True, is_superuser=True)
        users.disable(root, **WHY)

    assert restored(made)["users with something taken away"] == 2
    assert not User.objects.filter(is_active=True).exists()
    assert not User.objects.filter(pk=other.pk).exists()
    assert "manage.py createsuperuser" in restored.text


def test_who_was_enabled_again_stays_so_and_their_sessions_do_not(backup, restored, sign_in, refresh, alice):
    token = sign_in().body["refresh_token"]
    with backup() as made:
        users.disable(alice, **WHY)
        users.enable(alice, **WHY)

    restored(made)

    assert User.objects.get(pk=alice.pk).is_active
    assert refresh(token).error == "invalid_grant"


def test_a_password_that_was_given_up_opens_nothing(backup, restored, sign_in, refresh, alice):
    token = sign_in().body["refresh_token"]
    with backup() as made:
        passwords.change(User.objects.get(pk=alice.pk), encoded="!new", client_id="", actor=NOBODY)

    restored(made)

    assert sign_in().error == "invalid_grant"
    assert refresh(token).error == "invalid_grant"

    User.objects.get(pk=alice.pk)
    alice.set_password(PASSWORD)
    passwords.store(alice)
    assert restored(made)["users with something taken away"] == 0
    assert sign_in().status == 200


def test_what_the_database_knows_itself_is_passed_over(backup, restored, sign_in, alice):
    """The time of the backup may be too early, and the hourly exports go on after the restore."""
    before = clock.database_now()
    new = passwords.encode("another long walk")
    passwords.change(User.objects.get(pk=alice.pk), encoded=new, client_id="", actor=NOBODY)
    with backup() as made:
        pass
    made.at = before
    restored(made)
    assert sign_in(password="another long walk").status == 200

    passwords.change(User.objects.get(pk=alice.pk), encoded=passwords.encode("a third long walk"), client_id="", actor=NOBODY)
    output = StringIO()
    call_command("audit_export", stdout=output)
    made.path.write_text(output.getvalue(), encoding="utf-8")

    assert restored(made)["users with something taken away"] == 0
    assert sign_in(password="a third long walk").status == 200


def test_rights_that_were_taken_away_stay_away_and_none_are_given(backup, restored, make_user):
    group, permission = Group.objects.create(name="helpers"), Permission.objects.get(codename="unlock_user")
    eve = make_user("eve", is_staff=True, roles=("author", "reviewer"))
    eve.groups.add(group)
    eve.user_permissions.add(permission)
    with backup() as made:
        account_changes.set_roles(eve, role_names=["author"], staff=make_user("r", is_superuser=True), **WHY)
        _changed(eve, is_staff=(True, False), groups=(["helpers"], []), user_permissions=(["accounts.unlock_user"], []))
        _changed(eve, is_superuser=(False, True))

    restored(made)

    eve.refresh_from_db()
    assert (eve.is_staff, eve.is_superuser) == (False, False)
    assert [*eve.roles.values_list("name", flat=True)] == ["author"]
    assert not eve.groups.exists()
    assert not eve.user_permissions.exists()


def _changed(user, **changes):
    detail = {"changes": {name: {"before": before, "after": after} for name, (before, after) in changes.items()}}
    audit.record("user:account:changed", target=user.pk, detail=detail)


def test_a_second_factor_that_was_removed_proves_nothing(backup, restored, make_user):
    eve, bob = make_user("eve"), make_user("bob")
    lost, kept = (Authenticator.objects.create(user=eve, type="webauthn", data={}) for _ in range(2))
    codes = Authenticator.objects.create(user=eve, type="recovery_codes", data={})
    other = Authenticator.objects.create(user=bob, type="totp", data={})
    Authenticator.objects.create(user=bob, type="recovery_codes", data={})
    with backup() as made:
        second_factors.record("removed", "webauthn", user=eve, actor=NOBODY, factor=lost.pk)
        second_factors.record("used", "recovery_codes", user=eve, actor=NOBODY)
        second_factors.record("removed", "totp", user=bob, actor=NOBODY)

    restored(made)

    left = {*Authenticator.objects.values_list("pk", flat=True)}
    assert kept.pk in left
    assert not left & {lost.pk, codes.pk, other.pk}
    assert not Authenticator.objects.filter(user=bob).exists()


def test_a_reset_of_second_factors_is_done_again(backup, restored, make_user):
    eve = make_user("eve")
    Authenticator.objects.create(user=eve, type="totp", data={})
    with backup() as made:
        second_factors.reset(eve, **WHY)

    restored(made)

    assert not Authenticator.objects.exists()


# --- A fuller export -----------------------------------------------------------------------------


def test_what_a_fuller_export_tells_of_a_user_is_done_to_what_they_have_then(backup, restored, lacking, sign_in, refresh, alice):
    """Whoever had the password of the backup could sign in until then, and choose another."""
    with backup() as made:
        passwords.change(User.objects.get(pk=alice.pk), encoded="!new", client_id="", actor=NOBODY)
    restored(lacking(made, "user:password:changed"))
    alice.refresh_from_db()
    alice.set_password("another long walk")
    passwords.store(alice)
    token = sign_in(password="another long walk").body["refresh_token"]

    assert restored(made)["users with something taken away"] == 1
    assert refresh(token).error == "invalid_grant"
    assert sign_in(password="another long walk").error == "invalid_grant"


def test_second_factors_that_came_after_the_first_run_stay(backup, restored, lacking, make_user):
    eve, bob = make_user("eve"), make_user("bob")
    for user in (eve, bob):
        Authenticator.objects.create(user=user, type="totp", data={})
        Authenticator.objects.create(user=user, type="recovery_codes", data={})
    with backup() as made:
        second_factors.record("removed", "totp", user=eve, actor=NOBODY)
        second_factors.record("used", "recovery_codes", user=eve, actor=NOBODY)
        second_factors.reset(bob, **WHY)
    made_without = lacking(lacking(lacking(made, "user:second_factor:removed"), "user:second_factor:used"), "user:second_factor:reset")
    restored(made_without)
    Authenticator.objects.all().delete()
    new = {Authenticator.objects.create(user=user, type=kind, data={}).pk for user in (eve, bob) for kind in ("totp", "recovery_codes")}

    assert restored(made)["users with something taken away"] == 2
    assert {*Authenticator.objects.values_list("pk", flat=True)} == new


def test_a_fuller_export_takes_what_an_older_event_of_it_took(backup, restored, lacking, alice):
    Authenticator.objects.create(user=alice, type="recovery_codes", data={})
    with backup() as made:
        users.disable(alice, **WHY)
        second_factors.record("used", "recovery_codes", user=alice, actor=NOBODY)
    restored(lacking(made, "user:account:disabled"))
    assert not Authenticator.objects.exists()
    assert User.objects.get(pk=alice.pk).is_active
    Authenticator.objects.create(user=alice, type="recovery_codes", data={})

    assert restored(made)["users with something taken away"] == 1
    assert not User.objects.get(pk=alice.pk).is_active
    assert Authenticator.objects.exists()

    users.enable(alice, **WHY)
    assert restored(made)["users with something taken away"] == 0
    assert User.objects.get(pk=alice.pk).is_active


def test_what_a_later_event_took_already_is_not_taken_again_by_an_older_one(backup, restored, sign_in, make_user, alice):
    eve, root = make_user("eve", roles=("author",)), make_user("r", is_superuser=True)
    change = {"actor": NOBODY, "client_id": ""}
    with backup() as made:
        passwords.change(User.objects.get(pk=alice.pk), encoded="!first", **change)
        users.disable(alice, **WHY)
        _changed(eve, roles=(["author"], []), is_staff=(True, False))
        _changed(eve, roles=([], ["author"]))
        users.enable(alice, **WHY)
        passwords.change(User.objects.get(pk=alice.pk), encoded="!second", **change)
        _changed(eve, roles=(["author"], []), is_staff=(True, False), name=("a", "b"))
    whole = made.path.read_text("utf-8").splitlines(keepends=True)
    made.path.write_text("".join(whole[-3:]), "utf-8")
    assert restored(made)["users with something taken away"] == 2
    alice.refresh_from_db()
    alice.set_password(PASSWORD)
    passwords.store(alice)
    account_changes.set_roles(eve, role_names=["author"], staff=root, **WHY)
    User.objects.filter(pk=eve.pk).update(is_staff=True)
    made.path.write_text("".join(whole), "utf-8")

    restored(made)

    eve.refresh_from_db()
    assert (eve.is_staff, [*eve.roles.values_list("name", flat=True)]) == (True, ["author"])
    assert sign_in().status == 200


def test_the_end_of_a_secret_that_a_fuller_export_tells_of_comes_earlier(backup, restored, lacking, robot, post):
    with backup() as made:
        first = clients.rotate_secret(robot.client, keep_old_for=timedelta(days=1), **WHY)
        clients.rotate_secret(first.client, keep_old_for=timedelta(0), **WHY)
    form = {"grant_type": "client_credentials", "client_id": "robot", "client_secret": robot.secret_value, "scope": "api:read"}
    restored(lacking(made, "client:secret:rotated", old_secret_seconds=0))
    assert post(form).status == 200

    assert restored(made)["clients disabled or without their secret"] == 1
    assert post(form).status == 401
    assert restored(made)["clients disabled or without their secret"] == 0


def test_many_events_of_one_user_take_several_records(backup, restored, monkeypatch, alice):
    monkeypatch.setattr(done, "MOST", 2)
    with backup() as made:
        users.disable(alice, **WHY)
        users.enable(alice, **WHY)
        users.disable(alice, **WHY)

    assert restored(made)["users with something taken away"] == 1
    told = [event.detail for event in AuditEvent.objects.filter(event=done.PERSON).order_by("id")]
    assert [(len(detail["events"]), detail["done"]) for detail in told] == [(2, ["sessions ended", "disabled"]), (1, [])]
    assert restored(made)["users with something taken away"] == 0


# --- Clients and keys ----------------------------------------------------------------------------


def test_a_client_that_was_disabled_stays_so_until_somebody_enables_it_again(backup, restored, editor):
    with backup() as made:
        client_switch.disable(editor, **WHY)

    assert restored(made)["clients disabled or without their secret"] == 1
    assert not Client.objects.get(pk=editor.pk).is_active

    client_switch.enable(editor, **WHY)
    assert restored(made)["clients disabled or without their secret"] == 0
    assert Client.objects.get(pk=editor.pk).is_active


@pytest.mark.parametrize(("kept", "again", "status"), [(0, False, 401), (3600, False, 200), (3600, True, 401)])
def test_a_secret_that_was_changed_works_as_long_as_was_said(backup, restored, robot, post, kept, again, status):
    with backup() as made:
        clients.rotate_secret(robot.client, keep_old_for=timedelta(seconds=kept), **WHY)
        if again:
            clients.rotate_secret(Client.objects.get(pk=robot.client.pk), keep_old_for=timedelta(hours=1), **WHY)

    restored(made)

    form = {"grant_type": "client_credentials", "client_id": "robot", "client_secret": robot.secret_value, "scope": "api:read"}
    assert post(form).status == status
    new = clients.rotate_secret(Client.objects.get(pk=robot.client.pk), keep_old_for=timedelta(0))
    restored(made)
    assert post(form | {"client_secret": new.secret_value}).status == 200


def test_a_key_that_was_revoked_signs_nothing_more(backup, restored, signing_key):
    key_rotation.maintain()
    with backup() as made:
        key_rotation.revoke(signing_key.kid, **WHY)

    assert restored(made)["signing keys revoked"] == 1
    assert restored(made)["signing keys revoked"] == 0
    row = SigningKey.objects.get(kid=signing_key.kid)
    assert row.revoked_at is not None
    assert row.private_key == ""


# --- Without an export ---------------------------------------------------------------------------


def test_without_an_export_every_session_ends_that_the_backup_brought_back(backup, restored, sign_in, refresh, session_of, alice):
    ended, quiet = sign_in(), sign_in()
    BrowserSession.objects.create(session_key="x", session_data="", expire_date=timezone.now())
    OneTimeToken.objects.create(
        digest=b"x", purpose="p", user=alice, email="", created_at=timezone.now(), expires_at=timezone.now() + timedelta(hours=1)
    )
    with backup() as made:
        own_sessions.end(session_of(ended).pk, user=alice, actor=NOBODY)

    rows = restored(made, audit=False)

    assert rows == {"sessions ended, all there were": 2, "sessions of browsers ended": 1, "codes from mails forgotten": 1}
    assert {refresh(each.body["refresh_token"]).error for each in (ended, quiet)} == {"invalid_grant"}
    assert not BrowserSession.objects.exists()
    assert "Do that again by hand." in restored.text


def test_a_second_run_leaves_alone_what_was_opened_after_the_first_began(backup, restored, sign_in, refresh, monkeypatch):
    sign_in()
    with backup() as made:
        pass
    with monkeypatch.context() as patch:
        patch.setattr(session_ending, "batches", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            restored(made, audit=False)
    new = sign_in()

    assert restored(made, audit=False)["sessions ended, all there were"] == 1
    assert restored(made, audit=False) == {"sessions ended, all there were": 0}
    assert refresh(new.body["refresh_token"]).status == 200


# --- How it is told ------------------------------------------------------------------------------


def test_a_dry_run_counts_the_same_and_changes_nothing(backup, restored, sign_in, refresh, session_of, alice, editor, robot, signing_key):
    one, two = sign_in(), sign_in()
    consents.give(alice, client=editor, scope="api:read", actor=NOBODY)
    with backup() as made:
        own_sessions.end(session_of(one).pk, user=alice, actor=NOBODY)
        users.sign_out_everywhere(alice, **WHY)
        client_switch.disable(robot.client, **WHY)
        consents.withdraw(alice, client=editor, actor=NOBODY)
        session_ending.end_all(client=None, **WHY)
        key_rotation.revoke(signing_key.kid, **WHY)
    before = AuditEvent.objects.count()

    told = restored(made, "--dry-run")
    everything = restored(made, "--dry-run", audit=False)

    assert {refresh(each.body["refresh_token"]).status for each in (one, two)} == {200}
    assert AuditEvent.objects.count() == before
    assert everything["sessions ended, all there were"] == 2
    done = restored(made)
    assert {name: done[name] for name in told if not name.startswith("sessions ended")} == {
        name: count for name, count in told.items() if not name.startswith("sessions ended")
    }
    assert AuditEvent.objects.filter(event=replay.FINISHED).get().detail["counts"] == done


def test_what_an_event_does_not_say_enough_of_is_left_to_a_person(backup, restored, alice, make_user):
    with backup() as made:
        account_changes.change(alice, fields={"email": "new@example.com"}, staff=make_user("r", is_superuser=True), **WHY)

    restored(made)

    assert f"user:account:changed  {alice.pk}" in restored.text


# What takes nothing away, or nothing that a backup brings back for longer than a restore takes.
TAKE_NOTHING = {
    "audit:log:exported",
    "client:registration:created",
    "client:revocations:replayed",
    "device:code:approved",
    "device:code:denied",
    "device:code:failed",
    "group:registration:created",
    "network:password_spraying:detected",
    "restore:revocations:finished",
    "role:registration:created",
    "session:authorization_code:redeemed",
    "session:refresh:caught_up",
    "session:refresh:overlapped",
    "session:refresh:retried",
    "session:refresh_token:presented_by_another_client",
    "signing_key:private_key:erased",
    "signing_key:schedule:created",
    "signing_key:schedule:imported",
    "signing_key:schedule:rotated",
    "user:account:confirmed",
    "user:account:created",
    "user:account:registered",
    "user:consent:given",
    "user:email:change_requested",
    "user:lockout:lifted",
    "user:lockout:started",
    "user:password:reset_requested",
    "user:profile:changed",
    "user:reauthentication:succeeded",
    "user:revocations:replayed",
    "user:second_factor:added",
    "user:second_factor:failed",
    "user:sign_in:failed",
    "user:sign_in:succeeded",
    "user:sign_out:succeeded",  # of browsers, which all end
    "users:export:finished",
}


def test_every_event_is_replayed_or_left_to_a_person_or_takes_nothing():
    """An event that is new stands in one of these, or a restore forgets what it took."""
    taking = forgotten.SESSION_EVENTS | forgotten.EPOCH_EVENTS | forgotten.OTHER_EVENTS | forgotten.BY_HAND
    of_many = {endings.STARTED, endings.FINISHED, endings.EVERYTHING}

    assert taking | of_many | {"user:second_factor:used"} | TAKE_NOTHING == audit.EVENTS
    assert not (taking | of_many) & TAKE_NOTHING


def test_keys_that_were_encrypted_anew_are_left_to_a_person(backup, restored, signing_key):
    with backup() as made:
        audit.record("signing_key:private_key:reencrypted", target=signing_key.kid)

    restored(made)

    assert f"signing_key:private_key:reencrypted  {signing_key.kid}" in restored.text


def test_exports_that_overlap_and_come_in_another_order_say_the_same(backup, restored, alice, robot, post):
    with backup() as made:
        clients.rotate_secret(robot.client, keep_old_for=timedelta(hours=1), **WHY)
        users.disable(alice, **WHY)
        users.enable(alice, **WHY)
    lines = made.path.read_text("utf-8").splitlines(keepends=True)
    made.path.write_text("".join([*reversed(lines), '{"note": "the end"}\n', *lines]), "utf-8")

    restored(made)

    assert User.objects.get(pk=alice.pk).is_active
    form = {"grant_type": "client_credentials", "client_id": "robot", "client_secret": robot.secret_value, "scope": "api:read"}
    assert post(form).status == 200


@pytest.mark.parametrize(
    "line",
    ["no JSON", "{}", "[]", '"text"', '{"id": 1, "at": "2099-01-01", "event": "x"}', '{"id": 1, "at": "2099-01-01T00:00:00Z", "event": 5}'],
)
def test_a_file_that_is_no_export_changes_nothing(restored, tmp_path, signing_key, line):
    made = SimpleNamespace(at=clock.database_now(), path=tmp_path / "audit.jsonl")
    made.path.write_text(f"\n{line}\n", "utf-8")

    with pytest.raises(CommandError, match="Line 2 is no audit event"):
        restored(made)

    assert not AuditEvent.objects.filter(event=replay.STARTED).exists()


def test_an_event_that_lacks_what_it_must_say_changes_nothing(restored, tmp_path, signing_key):
    made = SimpleNamespace(at=clock.database_now() - timedelta(hours=1), path=tmp_path / "audit.jsonl")
    event = {"id": 1, "at": clock.now().isoformat(), "event": "session:revocation:succeeded", "target": "nobody"}
    made.path.write_text(json.dumps(event), "utf-8")

    with pytest.raises(CommandError, match="Line 1: this session:revocation:succeeded has not the members"):
        restored(made)


def test_a_time_that_has_not_come_and_a_file_that_is_not_there_are_refused(restored, tmp_path, signing_key):
    made = SimpleNamespace(at=clock.database_now(), path=tmp_path / "none")
    with pytest.raises(CommandError, match="No such file"):
        restored(made)
    made.at += timedelta(hours=1)
    with pytest.raises(CommandError, match="has not come yet"):
        restored(made)
