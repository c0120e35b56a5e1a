"""What staff do in the admin is on record: who, what, when, from where, and what it was before and after (docs/security.md)."""

import pytest
from django.contrib.auth.models import Group, Permission
from django.db import connection
from django.db.utils import OperationalError
from django.test import Client as Browser

from accounts import clock
from accounts.models import AuditEvent, OneTimeToken, Outbox, Role, User
from tests.conftest import PASSWORD
from tests.staff import BROWSER, act, confirm, form_of, log_in, messages_in, page, password_page

pytestmark = [pytest.mark.django_db, pytest.mark.checklist(103)]

NEW_PASSWORD = "another horse battery"


@pytest.fixture
def root(make_user):
    """May do everything."""
    return make_user("root", is_staff=True, is_superuser=True)


@pytest.fixture
def staff(root):
    """A browser in which root is signed in."""
    browser = Browser(raise_request_exception=False, headers={"user-agent": BROWSER})
    assert log_in(browser, "root").status_code == 302
    return browser


@pytest.fixture
def recorded(staff, root):
    """The events since the sign-in, each done by root in that browser: name, target, detail."""
    since = AuditEvent.objects.latest().pk

    def events():
        found = AuditEvent.objects.filter(pk__gt=since, actor_id=root.pk).order_by("pk")
        assert {(event.address, event.user_agent) for event in found} <= {("127.0.0.1", BROWSER)}
        return [(event.event, event.target, event.detail) for event in found]

    return events


def save(staff, row, **fields):
    """Open the page of the row, change these fields and save; None unchecks a box."""
    form = form_of(staff.get(page("change", row))) | fields
    response = staff.post(page("change", row), {name: value for name, value in form.items() if value is not None})
    assert response.status_code == 302, response.context["adminform"].form.errors
    return response


def changes(**fields):
    return {"changes": {name: {"before": before, "after": after} for name, (before, after) in fields.items()}}


# --- People ------------------------------------------------------------------------------------


def test_a_new_user_is_recorded_and_their_password_is_not(staff, recorded):
    form = {"username": "Carol", "email": "carol@example.com", "usable_password": "true"}
    staff.post(page("add", User), form | {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD})

    carol = User.objects.get(username="Carol")
    expected = changes(username=(None, "Carol"), email=(None, "carol@example.com"))
    assert recorded() == [("user:account:created", str(carol.pk), expected)]


def test_what_was_changed_of_a_user_is_recorded_with_before_and_after(staff, recorded, alice):
    editors = Role.objects.create(name="editor")

    save(staff, alice, username="Alicia", name="Alicia Smith", roles=[editors.pk])

    expected = changes(username=("alice", "Alicia"), name=("", "Alicia Smith"), roles=(["author", "reviewer"], ["editor"]))
    assert recorded() == [("user:account:changed", str(alice.pk), expected)]


def test_staff_rights_that_are_given_are_recorded_by_their_names(staff, recorded, alice):
    support = Group.objects.create(name="helpers")
    permission = Permission.objects.get(codename="view_user")

    save(staff, alice, is_staff="on", groups=[support.pk], user_permissions=[permission.pk])

    expected = changes(groups=([], ["helpers"]), is_staff=(False, True), user_permissions=([], ["accounts.view_user"]))
    assert recorded() == [("user:account:changed", str(alice.pk), expected)]


def test_disabling_and_enabling_are_events_of_their_own(staff, recorded, alice):
    save(staff, alice, is_active=None)
    save(staff, alice, is_active="on")

    assert recorded() == [
        ("user:account:disabled", str(alice.pk), changes(is_active=(True, False))),
        ("user:account:enabled", str(alice.pk), changes(is_active=(False, True))),
    ]


def test_a_form_that_changes_nothing_leaves_no_event(staff, recorded, alice):
    save(staff, alice)

    assert recorded() == []


@pytest.mark.parametrize(
    ("form", "word"),
    [
        ({"usable_password": "true", "password1": NEW_PASSWORD, "password2": NEW_PASSWORD, "set-password": "1"}, "set"),
        ({"usable_password": "false", "password1": "", "password2": "", "unset-password": "1"}, "taken away"),
    ],
)
def test_a_password_that_staff_set_or_took_away_is_recorded(staff, recorded, alice, form, word):
    assert staff.post(password_page(alice), form).status_code == 302

    assert recorded() == [("user:password:changed", str(alice.pk), {"by": "staff", "password": word})]


def test_a_password_that_was_refused_leaves_no_event(staff, recorded, alice):
    staff.post(password_page(alice), {"usable_password": "true", "password1": "short", "password2": "short"})

    assert recorded() == []


def test_a_code_that_was_sent_for_is_void_once_staff_change_the_address_or_disable_the_user(staff, alice):
    for fields in ({"email": "alicia@example.com"}, {"is_active": None}):
        now = clock.Instant()
        OneTimeToken.objects.create(
            digest=b"d" * 32, purpose="email_change", user=alice, email="x@y.example", created_at=now, expires_at=now
        )
        Outbox.objects.create(kind="email_change", user=alice, email="x@y.example", language="en", created_at=now, next_try_at=now)

        save(staff, alice, **fields)

        assert not OneTimeToken.objects.exists()
        assert not Outbox.objects.filter(kind="email_change").exists()


# --- Their own account -------------------------------------------------------------------------


def change_own_password(staff, old=PASSWORD):
    form = {"old_password": old, "new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD}
    return staff.post("/admin/password_change/", form)


def test_staff_who_change_their_own_password_are_recorded(staff, root, recorded):
    assert change_own_password(staff).status_code == 302

    assert recorded() == [("user:password:changed", str(root.pk), {"by": "user"})]
    assert User.objects.get(pk=root.pk).check_password(NEW_PASSWORD)


@pytest.mark.checklist(51)
def test_the_old_password_is_guessed_at_no_longer_than_at_the_sign_in(staff, root):
    answers = [change_own_password(staff, old=f"guess {number}").status_code for number in range(5)]

    right = change_own_password(staff)

    assert (answers, right.status_code) == ([200] * 5, 200)
    assert "Try again later" in right.content.decode()
    assert User.objects.get(pk=root.pk).check_password(PASSWORD)
    assert AuditEvent.objects.filter(event="user:sign_in:failed", target=root.pk, detail__door="admin").exists()
    assert AuditEvent.objects.filter(event="user:lockout:started").exists()


def test_a_new_password_that_is_refused_costs_no_attempt(staff, root):
    for _ in range(6):
        staff.post("/admin/password_change/", {"old_password": "x", "new_password1": "short", "new_password2": "short"})

    assert change_own_password(staff).status_code == 302


def test_signing_out_is_recorded(staff, root, recorded):
    assert staff.post("/admin/logout/").status_code == 200

    assert recorded() == [("user:sign_out:succeeded", str(root.pk), {"door": "admin"})]
    assert staff.get("/admin/").status_code == 302


# --- Roles and groups --------------------------------------------------------------------------


def test_a_role_is_recorded_from_its_making_to_its_end(staff, recorded, alice):
    staff.post(page("add", Role), {"name": "auditor", "description": "Reads"})
    role = Role.objects.get(name="auditor")
    save(staff, role, name="inspector")
    staff.post(page("delete", role), {"post": "yes"})

    assert recorded() == [
        ("role:registration:created", "auditor", changes(name=(None, "auditor"), description=(None, "Reads"))),
        ("role:registration:changed", "inspector", changes(name=("auditor", "inspector"))),
        ("role:registration:deleted", "inspector", changes(name=("inspector", None), description=("Reads", None))),
    ]
    assert not Role.objects.filter(pk=role.pk).exists()


def test_a_group_is_recorded_with_the_names_of_its_permissions(staff, recorded):
    view, change = (Permission.objects.get(codename=name) for name in ("view_user", "change_user"))
    staff.post(page("add", Group), {"name": "helpers", "permissions": [view.pk]})
    group = Group.objects.get(name="helpers")
    save(staff, group, permissions=[view.pk, change.pk])
    staff.post(page("delete", group), {"post": "yes"})

    both = ["accounts.change_user", "accounts.view_user"]
    assert recorded() == [
        ("group:registration:created", "helpers", changes(name=(None, "helpers"), permissions=(None, ["accounts.view_user"]))),
        ("group:registration:changed", "helpers", changes(permissions=(["accounts.view_user"], both))),
        ("group:registration:deleted", "helpers", changes(name=("helpers", None), permissions=(both, None))),
    ]


def test_the_name_of_a_group_may_be_longer_than_what_its_event_has_room_for(staff, recorded):
    staff.post(page("add", Group), {"name": "g" * 150})

    [(event, target, detail)] = recorded()
    assert (event, target) == ("group:registration:created", "g" * 64)
    assert detail == changes(name=(None, "g" * 150))


def test_rows_are_not_deleted_many_at_once_without_a_record(staff, recorded):
    roles = [Role.objects.create(name=name) for name in ("one", "two")]

    assert act(staff, "delete_selected", roles, post="yes").status_code == 403

    assert Role.objects.filter(name__in=("one", "two")).count() == 2
    assert recorded() == []


# --- Signed out everywhere ---------------------------------------------------------------------


@pytest.mark.checklist(77)
def test_signing_out_everywhere_says_first_what_will_end(staff, alice, bob, signed_in, sign_in):
    assert sign_in().status == 200

    response = act(staff, "sign_out_everywhere", [alice, bob])

    text = response.content.decode()
    assert response.status_code == 200
    assert "2 users: alice, bob." in text
    assert "2 live sessions end" in text
    assert User.objects.get(pk=alice.pk).session_epoch == alice.session_epoch


@pytest.mark.checklist(77)
def test_signing_out_everywhere_ends_every_session_at_its_next_request(staff, recorded, alice, bob, signed_in, refresh):
    response = confirm(staff, "sign_out_everywhere", [alice], reason="lost her phone")

    assert response.status_code == 302
    assert messages_in(staff.get(response["Location"])) == ["Sign out everywhere: done for 1."]
    assert refresh(signed_in.body["refresh_token"]).error == "invalid_grant"
    assert recorded() == [("user:sessions:revoked", str(alice.pk), {"by": "staff", "reason": "lost her phone"})]
    assert User.objects.get(pk=bob.pk).session_epoch == bob.session_epoch


def test_signing_out_everywhere_ends_the_sessions_of_the_admin_too(staff, make_user):
    helper = make_user("helper", is_staff=True)
    theirs = Browser()
    log_in(theirs, "helper")

    confirm(staff, "sign_out_everywhere", [helper])

    assert theirs.get("/admin/").status_code == 302


@pytest.mark.parametrize("reason", ["r" * 201, "with\x00a control character"])
def test_a_reason_that_cannot_be_kept_asks_again(staff, recorded, alice, reason):
    response = confirm(staff, "sign_out_everywhere", [alice], reason=reason)

    assert response.status_code == 200
    assert "errorlist" in response.content.decode()
    assert recorded() == []


def test_more_people_than_an_act_may_have_are_left_alone(staff, recorded, monkeypatch, alice, bob):
    monkeypatch.setattr("accounts.careful_admin.MOST_AT_ONCE", 1)

    response = confirm(staff, "sign_out_everywhere", [alice, bob])

    assert messages_in(staff.get(response["Location"])) == ["Choose at most 1 at once. Nothing was done."]
    assert recorded() == []


# --- An act and its record stand or fall together ------------------------------------------------


@pytest.fixture
def no_record():
    """While no event can be stored."""

    def refuse(execute, sql, params, many, context):
        if "INSERT INTO accounts_auditevent" in sql:
            raise OperationalError("no room")
        return execute(sql, params, many, context)

    return lambda: connection.execute_wrapper(refuse)


@pytest.mark.parametrize(
    "act_on",
    [
        lambda staff, alice: staff.post(page("change", alice), form_of(staff.get(page("change", alice))) | {"name": "Other"}),
        lambda staff, alice: staff.post(
            password_page(alice), {"usable_password": "true", "password1": NEW_PASSWORD, "password2": NEW_PASSWORD, "set-password": "1"}
        ),
        lambda staff, alice: confirm(staff, "sign_out_everywhere", [alice]),
        lambda staff, alice: staff.post(page("delete", alice.roles.first()), {"post": "yes"}),
        lambda staff, alice: staff.post(page("add", Role), {"name": "new"}),
        lambda staff, alice: change_own_password(staff),
    ],
    ids=["change", "password", "sign out", "delete", "add", "own password"],
)
def test_what_cannot_be_recorded_is_not_done(staff, alice, no_record, act_on):
    before = [[*User.objects.order_by("pk").values()], [*Role.objects.values()]]

    with no_record():
        response = act_on(staff, alice)

    assert response.status_code == 503
    assert int(response["Retry-After"]) >= 1
    assert [[*User.objects.order_by("pk").values()], [*Role.objects.values()]] == before
