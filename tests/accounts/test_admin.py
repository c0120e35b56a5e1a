"""The pages of staff: every one opens, and what they do to people, roles and groups is done, and recorded (accounts/admin.py)."""

import re
from datetime import timedelta

import pytest
from django.conf import settings as django_settings
from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.db import connection
from django.test import Client as Browser
from django.test import RequestFactory

from accounts import audit
from accounts.careful_admin import ReadOnlyAdmin
from accounts.clock import Instant
from accounts.models import AuditEvent, LoginCounter, Role, User
from oauth.models import Client, Session, SigningKey
from tests.accounts.spellings import wide
from tests.conftest import PASSWORD
from tests.staff import BROWSER, code_of, enrol, errors_in, form_of, log_in, page, password_page, send_code, send_password

pytestmark = pytest.mark.django_db

READ_ONLY = [model for model, pages in admin.site._registry.items() if isinstance(pages, ReadOnlyAdmin)]
NEW_PASSWORD = "another horse battery"


@pytest.fixture
def root(make_user):
    """May do everything."""
    return make_user("root", is_staff=True, is_superuser=True)


@pytest.fixture
def browser():
    return Browser(raise_request_exception=False)  # a failure is an answer 500


@pytest.fixture
def staff(root, browser):
    """A browser in which root is signed in."""
    assert log_in(browser, "root").status_code == 302
    return browser


@pytest.fixture
def rows(staff, alice, bob, editor, robot, sign_in, signed_in, refresh):
    """One row at least behind every page, with every secret column filled."""
    assert refresh(signed_in.body["refresh_token"], key="0123456789abcdef").status == 200
    assert sign_in("alice", "a wrong password").status == 400
    Group.objects.create(name="helpers")
    audit.record("user:sign_in:failed", target=alice.pk, detail={"reason": "wrong password"})
    LoginCounter.objects.update(locked_until=Instant(plus=timedelta(minutes=15)))
    found = {model: [*model.objects.all()] for model in admin.site._registry}
    assert all(found.values())
    return found


def urls_of(rows, *, user):
    """Every page that this user may open."""
    request = RequestFactory().get("/admin/")
    request.user = user
    yield from ("/admin/", "/admin/accounts/", "/admin/oauth/", "/admin/auth/", "/admin/password_change/", "/admin/jsi18n/")
    for model, pages in admin.site._registry.items():
        yield page("changelist", model)
        yield f"{page('changelist', model)}?q=alice"
        if pages.has_add_permission(request):
            yield page("add", model)
        for each in rows[model]:
            yield page("change", each)
            yield page("history", each)
            if pages.has_delete_permission(request, each):
                yield page("delete", each)
            if model is User:
                yield password_page(each)


# --- Signing in --------------------------------------------------------------------------------


@pytest.mark.parametrize("username", ["root", "ROOT", wide("root"), "root@example.com", "ROOT@EXAMPLE.COM", " Root@Example.com "])
def test_the_superuser_signs_in_by_either_identifier_in_any_spelling(root, browser, username):
    response = log_in(browser, username)

    assert (response.status_code, response["Location"]) == (302, "/admin/")
    assert browser.get("/admin/").status_code == 200
    assert User.objects.get(pk=root.pk).last_sign_in_at is not None


@pytest.mark.parametrize(("username", "password"), [("root", "a wrong password"), ("nobody", PASSWORD), ("", ""), ("ro\u200dot", PASSWORD)])
def test_who_cannot_prove_who_they_are_does_not_sign_in(root, browser, username, password):
    response = log_in(browser, username, password)

    assert response.status_code == 200
    assert browser.get("/admin/").status_code == 302


@pytest.mark.parametrize(
    "fields",
    [{"is_active": False}, {"is_staff": True, "is_active": False}, {"awaits_confirmation": True}],
    ids=["user", "staff", "unconfirmed"],
)
def test_who_is_not_active_does_not_sign_in(make_user, browser, fields):
    make_user("mallory", **fields)

    response = log_in(browser, "mallory")

    assert response.status_code == 200
    assert "the account cannot be used" in response.content.decode()
    assert browser.get("/account").status_code == browser.get("/admin/").status_code == 302


@pytest.mark.parametrize("fields", [{}, {"is_superuser": True}], ids=["user", "superuser without staff"])
def test_who_is_no_staff_signs_in_and_is_refused_the_admin(make_user, browser, fields):
    user = make_user("mallory", **fields)
    enrol(user)
    assert send_password(browser, "mallory").status_code == 302

    assert send_code(browser, code_of(user))["Location"] == "/admin/"

    assert browser.get("/admin/", follow=True).status_code == 403
    assert browser.get("/account").status_code == 200


def test_a_wrong_password_and_a_missing_account_look_the_same(root, browser):
    def without_what_was_typed(response, username):
        text = response.content.decode().replace(username, "…")
        return re.sub(r'(csrfmiddlewaretoken" value=)"\w+"', r"\1", text)

    assert without_what_was_typed(log_in(browser, "root", "wrong"), "root") == without_what_was_typed(
        log_in(browser, "nobody", "wrong"), "nobody"
    )


@pytest.mark.checklist(100)
def test_a_form_without_its_token_is_refused(root):
    browser = Browser(enforce_csrf_checks=True)
    browser.get("/sign-in")

    response = browser.post("/sign-in", {"login": "root", "password": PASSWORD})

    assert response.status_code == 403
    assert browser.get("/admin/").status_code == 302


@pytest.mark.checklist(100)
def test_the_form_of_the_page_passes_the_check_of_its_token(root):
    assert log_in(Browser(enforce_csrf_checks=True), "root").status_code == 302


@pytest.mark.checklist(100)
def test_signing_in_gives_a_session_of_another_name(root, browser):
    enrol(root)
    send_password(browser, "root")
    before = browser.cookies[django_settings.SESSION_COOKIE_NAME].value

    assert send_code(browser, code_of(root)).status_code == 302

    assert browser.cookies[django_settings.SESSION_COOKIE_NAME].value != before


def test_a_raised_epoch_signs_staff_out(root, staff):
    User.objects.filter(pk=root.pk).update(session_epoch=root.session_epoch + 1)

    assert staff.get("/admin/").status_code == 302


def test_a_disabled_member_of_staff_is_out_at_once(root, staff):
    User.objects.filter(pk=root.pk).update(is_active=False)

    assert staff.get("/admin/").status_code == 302


@pytest.mark.checklist(54)
def test_signing_in_leaves_an_event_and_so_does_failing_to(root, browser):
    log_in(browser, "root", "a wrong password", HTTP_USER_AGENT=BROWSER)
    log_in(browser, "nobody", "a wrong password", HTTP_USER_AGENT=BROWSER)
    log_in(browser, "root", HTTP_USER_AGENT=BROWSER)

    succeeded, code, unknown, wrong = AuditEvent.objects.all()
    assert {event.user_agent for event in (wrong, unknown, code, succeeded)} == {BROWSER}
    assert (code.event, code.detail, code.target) == ("user:second_factor:used", {"kind": "totp"}, str(root.pk))
    assert [event.event for event in (wrong, unknown, succeeded)] == [
        "user:sign_in:failed",
        "user:sign_in:failed",
        "user:sign_in:succeeded",
    ]
    assert (wrong.target, unknown.target, succeeded.target, succeeded.actor_id) == (str(root.pk), "", str(root.pk), root.pk)
    assert {event.address for event in (wrong, unknown, succeeded)} == {"127.0.0.1"}
    assert "a wrong password" not in str([*AuditEvent.objects.values()])


# --- Every page, and no secret on it -----------------------------------------------------------


def test_every_page_opens(staff, root, rows):
    answers = {url: staff.get(url).status_code for url in urls_of(rows, user=root)}

    assert {url: status for url, status in answers.items() if status != 200} == {}


@pytest.mark.parametrize(
    "encoded", ["", "plain text", "unknown$1$salt$digest", "argon2$", "argon2$argon2id$v=19$m=x,t=y,p=z$salt$digest", "pbkdf2_sha256$"]
)
def test_the_page_of_a_user_with_a_corrupt_password_opens_all_the_same(staff, alice, encoded):
    User.objects.filter(pk=alice.pk).update(password=encoded)

    assert staff.get(page("change", alice)).status_code == 200


@pytest.mark.checklist(102)
@pytest.mark.parametrize(
    ("model", "lookup"),
    [
        (User, "password__startswith"),
        (Session, "user__password__startswith"),
        (Session, "retry_digest__gt"),
        (Client, "secret_digest__gt"),
        (Client, "previous_secret_digest__gt"),
    ],
)
def test_no_secret_can_be_guessed_piece_by_piece_through_a_search(staff, model, lookup):
    assert staff.get(page("changelist", model), {lookup: "a"}).status_code == 400


@pytest.mark.parametrize("query", ["q=%00", "q=%ff", "q='\"--", "p=9999", "p=x", "o=99", "all=1", "nothing=1", "id__exact=x", "e=1"])
@pytest.mark.parametrize("model", [User, Role, AuditEvent, Client, Session, SigningKey])
def test_no_question_to_a_list_is_a_failure_of_the_server(staff, rows, model, query):
    assert staff.get(f"{page('changelist', model)}?{query}").status_code in {200, 302, 400}


# --- What staff only look at -------------------------------------------------------------------


@pytest.mark.checklist(103)
@pytest.mark.parametrize("model", READ_ONLY)
def test_sessions_keys_and_events_are_looked_at_and_neither_made_changed_nor_deleted(staff, rows, model):
    before = [*model.objects.order_by("pk").values()]
    row = rows[model][0]
    deletion = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}

    assert staff.get(page("add", model)).status_code == 403
    assert staff.post(page("add", model), {"event": "user:sign_in:failed"}).status_code == 403
    assert staff.post(page("change", row), {"event": "", "revoked_reason": "by hand"}).status_code == 403
    assert staff.get(page("delete", row)).status_code == 403
    assert staff.post(page("delete", row), {"post": "yes"}).status_code == 403
    staff.post(page("changelist", model), deletion)

    assert [*model.objects.order_by("pk").values()] == before


def test_the_tables_of_the_toolkit_have_no_pages():
    assert {model._meta.label for model in admin.site._registry if model._meta.app_label == "oauth2_provider"} == set()


def test_sessions_keys_and_events_are_among_what_is_only_looked_at():
    assert {*READ_ONLY} >= {AuditEvent, Session, SigningKey}


def test_staff_see_and_do_what_their_permissions_say(make_user, browser, alice):
    support = make_user("support", is_staff=True)
    support.user_permissions.add(Permission.objects.get(codename="view_user"))
    log_in(browser, "support")

    assert browser.get(page("change", alice)).status_code == 200
    assert browser.post(page("change", alice), {"username": "mallory", "email": ""}).status_code == 403
    assert browser.get(page("changelist", Client)).status_code == 403
    assert browser.get(password_page(alice)).status_code == 403
    assert User.objects.get(pk=alice.pk).username == "alice"


# --- People ------------------------------------------------------------------------------------


def add_user(staff, username, email="", password=NEW_PASSWORD, **extra):
    form = {"username": username, "email": email, "usable_password": "true", "password1": password, "password2": password}
    return staff.post(page("add", User), form | extra)


def test_staff_make_a_user_who_can_sign_in(staff, browser):
    assert add_user(staff, "Carol", "Carol@Example.com").status_code == 302

    carol = User.objects.get_by_natural_key("carol@example.com")
    assert (carol.username, carol.is_staff, carol.is_active) == ("Carol", False, True)
    assert carol.check_password(NEW_PASSWORD)


@pytest.mark.checklist(43)
@pytest.mark.parametrize(
    ("username", "email", "field"),
    [
        ("ALICE", "", "username"),
        (wide("alice"), "", "username"),
        ("carol", "ALICE@example.com", "email"),
        ("carol", wide("alice@example.com"), "email"),
        ("carol@example.com", "", "username"),
        ("ca\u200drol", "", "username"),
        ("ca rol", "", "username"),
        ("carol", "no address", "email"),
        ("", "", "username"),
        ("c" * 255, "", "username"),
        ("carol\x00", "", "username"),
    ],
)
def test_a_name_that_is_taken_or_not_allowed_is_told_on_the_form(staff, alice, username, email, field):
    users = User.objects.count()

    response = add_user(staff, username, email)

    assert [*errors_in(response)] == [field]
    assert User.objects.count() == users


@pytest.mark.checklist(55)
@pytest.mark.parametrize("password", ["short", "password123", "12345678", "carol-123", "p" * 1025])
def test_a_password_that_nobody_should_have_is_told_on_the_form(staff, password):
    response = add_user(staff, "carol", password=password)

    assert errors_in(response)
    assert not User.objects.filter(username="carol").exists()


def test_a_user_may_be_made_without_a_password(staff):
    form = {"usable_password": "false", "password1": "", "password2": ""}

    assert add_user(staff, "carol", **form).status_code == 302
    assert not User.objects.get(username="carol").has_usable_password()


def test_the_form_of_a_user_sent_back_as_it_is_changes_nothing(staff, alice):
    before = User.objects.values().get(pk=alice.pk)

    assert staff.post(page("change", alice), form_of(staff.get(page("change", alice)))).status_code == 302

    assert User.objects.values().get(pk=alice.pk) == before
    assert {*alice.roles.values_list("name", flat=True)} == {"author", "reviewer"}


def test_staff_change_names_state_and_roles(staff, alice):
    form = form_of(staff.get(page("change", alice))) | {
        "username": "Alicia",
        "email": "Alicia@Example.com",
        "name": "Alicia Smith",
        "roles": [],
    }
    del form["is_active"]

    assert staff.post(page("change", alice), form).status_code == 302

    row = User.objects.get(pk=alice.pk)
    assert (row.username, row.username_canonical, row.email, row.email_canonical) == (
        "Alicia",
        "alicia",
        "Alicia@Example.com",
        "alicia@example.com",
    )
    assert (row.name, row.is_active, row.roles.count()) == ("Alicia Smith", False, 0)


def test_a_changed_name_that_is_taken_is_told_on_the_form(staff, alice, bob):
    form = form_of(staff.get(page("change", alice))) | {"username": "BOB", "email": wide("bob@example.com")}

    assert [*errors_in(staff.post(page("change", alice), form))] == ["username", "email"]
    assert User.objects.get(pk=alice.pk).username == "alice"


@pytest.mark.parametrize("field", ["roles", "groups", "user_permissions"])
@pytest.mark.parametrize("key", ["9" * 30, "-" + "9" * 30, "0", "x", "1.5", "\u0663\u0663"])
def test_a_choice_that_no_row_can_be_is_told_on_the_form(staff, alice, field, key):
    form = form_of(staff.get(page("change", alice)))

    assert [*errors_in(staff.post(page("change", alice), form | {field: [key]}))] == [field]


def meanwhile(row, **change):
    """Just before the first UPDATE of the row's table, another request changes the row."""
    pending = [change]

    def interrupt(execute, sql, params, many, context):
        if pending and sql.startswith(f'UPDATE "{row._meta.db_table}"'):
            type(row).objects.filter(pk=row.pk).update(**pending.pop())
        return execute(sql, params, many, context)

    return connection.execute_wrapper(interrupt)


def test_changing_the_email_address_keeps_what_happened_since_the_row_was_read(staff, alice):
    form = form_of(staff.get(page("change", alice))) | {"email": "Alicia@example.com"}

    with meanwhile(alice, session_epoch=alice.session_epoch + 7, is_active=False, password="!"):
        assert staff.post(page("change", alice), form).status_code == 302

    row = User.objects.get(pk=alice.pk)
    assert (row.email_canonical, row.session_epoch, row.is_active, row.password) == (
        "alicia@example.com",
        alice.session_epoch + 7,
        False,
        "!",
    )


def set_password(staff, user, **form):
    passwords = {"usable_password": "true", "password1": NEW_PASSWORD, "password2": NEW_PASSWORD, "set-password": "1"}
    return staff.post(password_page(user), passwords | form)


@pytest.mark.checklist(69)
def test_a_password_that_staff_set_works_and_ends_what_the_old_one_opened(staff, alice, signed_in, refresh):
    assert set_password(staff, alice).status_code == 302

    row = User.objects.get(pk=alice.pk)
    assert row.check_password(NEW_PASSWORD)
    assert row.session_epoch == alice.session_epoch + 1
    assert refresh(signed_in.body["refresh_token"]).error == "invalid_grant"


@pytest.mark.checklist(69)
def test_a_password_that_staff_took_away_ends_what_it_opened(staff, alice, signed_in, refresh):
    form = {"usable_password": "false", "password1": "", "password2": "", "unset-password": "1"}

    assert set_password(staff, alice, **form).status_code == 302

    assert not User.objects.get(pk=alice.pk).has_usable_password()
    assert refresh(signed_in.body["refresh_token"]).error == "invalid_grant"


def test_who_was_disabled_by_staff_is_not_back_in_when_enabled_again(staff, alice, signed_in, refresh):
    form = form_of(staff.get(page("change", alice)))
    assert staff.post(page("change", alice), {name: value for name, value in form.items() if name != "is_active"}).status_code == 302
    assert not User.objects.get(pk=alice.pk).is_active
    assert staff.post(page("change", alice), form).status_code == 302

    assert User.objects.get(pk=alice.pk).is_active
    assert refresh(signed_in.body["refresh_token"]).error == "invalid_grant"


def test_setting_a_password_keeps_what_happened_since_the_row_was_read(staff, alice):
    with meanwhile(alice, session_epoch=alice.session_epoch + 7, is_active=False):
        assert set_password(staff, alice).status_code == 302

    row = User.objects.get(pk=alice.pk)
    assert row.session_epoch >= alice.session_epoch + 7
    assert not row.is_active


def test_staff_who_change_their_own_password_stay_signed_in(staff, root):
    form = {"old_password": PASSWORD, "new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD}

    assert staff.post("/admin/password_change/", form).status_code == 302

    assert User.objects.get(pk=root.pk).session_epoch == root.session_epoch + 1
    assert staff.get("/admin/").status_code == 200
