"""Who may open which page of the admin, who may send it, and that nobody makes more of their rights than they are."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.apps import apps
from django.conf import settings as django_settings
from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.models import Group, Permission
from django.contrib.sessions.models import Session as BrowserSession
from django.db import connections, transaction
from django.test import Client as Browser
from django.urls import URLPattern, reverse

from accounts import audit
from accounts.admin import LAST_SUPERUSER
from accounts.clock import Instant
from accounts.models import AuditEvent, LoginCounter, Role, User
from oauth import key_rotation
from oauth.models import Client, Session, SigningKey
from oauth.user_acts import ACTS
from tests.conftest import PASSWORD
from tests.staff import (
    act,
    code_of,
    confirm,
    enrol,
    errors_in,
    form_of,
    give_role,
    let_in,
    log_in,
    messages_in,
    page,
    password_page,
    send_code,
    send_password,
)

pytestmark = [pytest.mark.django_db, pytest.mark.checklist(101)]

ROLES = ("viewer", "support", "client-manager", "security-admin")
PERSONAS = ("nobody", "alice", "bare", "viewer", "editor", "root", *ROLES[1:])
# In the order of PERSONAS: not signed in; a user who is no staff; staff without a permission; staff who may view everything;
# staff who may view and change users; a superuser; the other roles (below).
# 302 is the way to the sign-in, or on after something was done.
GET, POST = {}, {}
GET["index"] = POST["index"] = "302 302 200 200 200 200"
GET["login"] = POST["login"] = "302 403 302 302 302 302"
GET["find"] = POST["find"] = "302 302 200 200 200 200"
GET["explain"] = POST["explain"] = "302 302 403 200 403 200"
GET["auditevent_export"], POST["auditevent_export"] = "302 302 403 403 403 405", "302 302 403 403 403 200"
GET["logout"], POST["logout"] = "302 302 405 405 405 405", "302 302 200 200 200 200"
GET["password_change"] = POST["password_change"] = "302 302 200 200 200 200"
GET["password_change_done"], POST["password_change_done"] = "302 302 200 200 200 200", "302 302 405 405 405 405"
GET["jsi18n"], POST["jsi18n"] = "302 302 200 200 200 200", "302 302 405 405 405 405"
GET["accounts/"] = POST["accounts/"] = "302 302 404 200 200 200"
GET["oauth/"] = POST["oauth/"] = "302 302 404 200 404 200"
GET["auth/"] = POST["auth/"] = "302 302 404 404 404 200"
GET["anything else"] = POST["anything else"] = "302 302 404 404 404 404"
for model in ("role", "auditevent", "refusal", "client", "session", "signingkey", "logincounter"):
    GET[f"{model}_changelist"] = GET[f"{model}_change"] = GET[f"{model}_history"] = "302 302 403 200 403 200"
    GET[f"{model}_add"] = GET[f"{model}_delete"] = "302 302 403 403 403 403"
    POST[f"{model}_changelist"] = POST[f"{model}_change"] = "302 302 403 403 403 403"
    POST[f"{model}_add"] = POST[f"{model}_delete"] = "302 302 403 403 403 403"
    POST[f"{model}_history"] = GET[f"{model}_history"]
for name in ("signingkey_rotate", "signingkey_revoke"):
    GET[name] = POST[name] = "302 302 403 403 403 200"  # 200: the page that asks for a reason and the kid
for name in ("client_rotate_secret", "client_disable", "client_enable", "client_end_sessions", "client_end_everything"):
    GET[name] = POST[name] = "302 302 403 403 403 200"  # 200: the page that asks for a reason
GET["client_add"] = POST["client_add"] = "302 302 403 403 403 200"
GET["user_changelist"] = GET["user_change"] = GET["user_history"] = POST["user_history"] = "302 302 403 200 200 200"
GET["user_add"], POST["user_add"] = "302 302 403 403 403 200", "302 302 403 403 403 302"
GET["user_delete"] = POST["user_delete"] = "302 302 403 403 403 403"
POST["user_changelist"] = "302 302 403 403 403 302"
POST["user_change"] = POST["auth_user_password_change"] = "302 302 403 403 302 302"
GET["auth_user_password_change"] = "302 302 403 403 200 200"
for action in ("changelist", "add", "change", "history", "delete"):
    GET[f"group_{action}"] = "302 302 403 403 403 200"
POST["group_changelist"] = "302 302 403 403 403 403"
POST["group_add"] = POST["group_change"] = POST["group_delete"] = "302 302 403 403 403 302"
POST["group_history"] = GET["group_history"]
POST["session_changelist"] = POST["logincounter_changelist"] = POST["client_change"] = "302 302 403 403 403 302"
POST["role_change"] = POST["role_add"] = POST["role_delete"] = "302 302 403 403 403 302"
GET["role_add"] = GET["role_delete"] = "302 302 403 403 403 200"
for slug in ("unlock", "send-password-reset", "sign-out-everywhere", "disable", "enable"):
    # Nothing is to be done about a user who is not locked, or not disabled: 302.
    GET[f"user_{slug}"] = f"302 302 403 403 403 {302 if slug in {'unlock', 'enable'} else 200}"
    POST[f"user_{slug}"] = "302 302 403 403 403 302"
GET["session_revoke"], POST["session_revoke"] = "302 302 403 403 403 200", "302 302 403 403 403 302"
for name in ("logincounter_unlock", "logincounter_unlock_address"):
    GET[name], POST[name] = "302 302 403 403 403 200", "302 302 403 403 403 302"

# Acts on many rows of a list, beside the one that stands for its list above.
BULK_ACTS = ((User, "unlock_users"), (User, "send_password_resets"), (User, "disable_users"), (Client, "disable_clients"))
for model, action in BULK_ACTS:
    name = model._meta.model_name
    GET[f"{name}_changelist {action}"], POST[f"{name}_changelist {action}"] = GET[f"{name}_changelist"], "302 302 403 403 403 302"

# What a role may that a viewer may not.
MORE = {
    "support": {
        **dict.fromkeys(("POST session_changelist", "POST logincounter_changelist", "POST user_changelist"), 302),
        **dict.fromkeys(("POST user_changelist unlock_users", "POST user_changelist send_password_resets"), 302),
        **dict.fromkeys(("GET user_unlock", "POST user_unlock", "POST user_send-password-reset", "POST user_sign-out-everywhere"), 302),
        **dict.fromkeys(("GET user_send-password-reset", "GET user_sign-out-everywhere", "GET session_revoke"), 200),
        **dict.fromkeys(("GET logincounter_unlock", "GET logincounter_unlock_address"), 200),
        **dict.fromkeys(("POST session_revoke", "POST logincounter_unlock", "POST logincounter_unlock_address"), 302),
    },
    "client-manager": {
        **dict.fromkeys(("POST client_change", "POST client_changelist disable_clients"), 302),
        **{f"{method} client_{act}": 200 for method in ("GET", "POST") for act in ("add", "disable", "enable", "rotate_secret")},
    },
}
MORE["security-admin"] = MORE["support"] | {
    **dict.fromkeys(("POST user_change", "POST auth_user_password_change"), 302),
    "GET auth_user_password_change": 200,
    "GET user_disable": 200,
    "GET auditevent_export": 405,
    "POST auditevent_export": 200,
    **{f"{method} signingkey_{act}": 200 for method in ("GET", "POST") for act in ("rotate", "revoke")},
    **dict.fromkeys(("POST user_changelist disable_users", "POST user_disable", "GET user_enable", "POST user_enable"), 302),
    **dict.fromkeys(("GET role_add", "GET role_delete"), 200),
    **dict.fromkeys(("POST role_add", "POST role_change", "POST role_delete"), 302),
}
for method, table in (("GET", GET), ("POST", POST)):
    for name, answers in table.items():
        viewers = answers.split()[PERSONAS.index("viewer")]
        table[name] = " ".join([answers, *(str(MORE[role].get(f"{method} {name}", viewers)) for role in ROLES[1:])])


# --- The cast ------------------------------------------------------------------------------------


@pytest.fixture
def root(make_user):
    """May do everything."""
    return make_user("root", is_staff=True, is_superuser=True)


@pytest.fixture
def make_staff(make_user):
    def make(username, *permissions):
        user = make_user(username, is_staff=True)
        names = [permission.split(".") for permission in permissions]
        user.user_permissions.set([Permission.objects.get(content_type__app_label=app, codename=name) for app, name in names])
        return user

    return make


@pytest.fixture
def editor_of_users(make_staff):
    return make_staff("editor", "accounts.view_user", "accounts.change_user")


@pytest.fixture
def cast(root, alice, make_staff, editor_of_users):
    people = {"bare": make_staff("bare"), "editor": editor_of_users} | {role: give_role(make_staff(role), role) for role in ROLES}
    for each in (root, *people.values()):  # alice signs in to an app as well
        enrol(each)
    return {"nobody": None, "alice": alice, "root": root} | people


FILTERED = sorted({each for pages in admin.site._registry.values() for each in pages.list_filter if isinstance(each, str)})


def browser_of(user):
    browser = Browser(raise_request_exception=False)  # a failure is an answer 500
    if user is not None:
        let_in(browser, user)
    return browser


@pytest.fixture
def rows(root, bob, editor, robot, signed_in, sign_in):
    """One row behind every page."""
    assert sign_in("alice", "a wrong password").status == 400
    LoginCounter.objects.update(locked_until=Instant(plus=timedelta(minutes=15)))
    Group.objects.create(name="helpers")
    key_rotation.maintain()
    assert all(model.objects.exists() for model in admin.site._registry)
    of_models = {User: bob, Client: robot.client}
    return {model: of_models.get(model) or model.objects.first() for model in admin.site._registry}


def everything():
    """What is stored, the browser's sessions aside: signing in makes one."""
    models = [model for model in apps.get_models(include_auto_created=True) if model is not BrowserSession and model._meta.managed]
    return {model._meta.label: [*model._base_manager.order_by("pk").values()] for model in models}


# --- Every address ------------------------------------------------------------------------------


def paths_of(patterns, prefix="") -> Iterator[tuple[str, str | None]]:
    for each in patterns:
        path = prefix + str(each.pattern)
        if isinstance(each, URLPattern):
            yield path, each.name
        else:
            yield from paths_of(each.url_patterns, path)


def addresses(rows) -> dict[str, tuple[str, dict]]:
    """Every page of the admin, by the word that GET and POST know it by: where it is, and what to send there to do harm."""
    found = {
        name: (reverse(f"admin:{name}"), {})
        for name in ("index", "login", "find", "explain", "logout", "password_change", "password_change_done", "jsi18n")
    }
    found["auditevent_export"] = (reverse("admin:accounts_auditevent_export"), {"format": "csv"})
    found |= {f"{app}/": (f"/admin/{app}/", {}) for app in ("accounts", "oauth", "auth")}
    found["anything else"] = ("/admin/anything/else/", {})
    for model, row in rows.items():
        name = model._meta.model_name
        chosen = {ACTION_CHECKBOX_NAME: [row.pk], "confirmed": "True", "reason": "harm", "post": "yes"}
        action = {User: "sign_out_everywhere", Session: "end_sessions", LoginCounter: "lift"}.get(model, "delete_selected")
        for view, form in (
            ("changelist", {"action": action} | chosen),
            ("add", {"name": "new", "username": "new", "usable_password": "false", "client_id": "new", "event": "new"}),
            ("change", {"name": "other", "username": "other", "revoked_reason": "other", "is_active": "on", "is_superuser": "on"}),
            ("history", {"post": "yes"}),
            ("delete", {"post": "yes"}),
        ):
            args = () if view in {"changelist", "add"} else (row.pk,)
            found[f"{name}_{view}"] = (reverse(f"admin:{model._meta.app_label}_{name}_{view}", args=args), form)
    for model, action in BULK_ACTS:
        chosen = {"action": action, ACTION_CHECKBOX_NAME: [rows[model].pk], "confirmed": "True", "reason": "harm"}
        found[f"{model._meta.model_name}_changelist {action}"] = (page("changelist", model), chosen)
    confirmed = {"confirmed": "True", "reason": ""}
    found |= {f"user_{act.slug}": (reverse(f"admin:{act.url_name}", args=(rows[User].pk,)), confirmed) for act in ACTS}
    found["session_revoke"] = (reverse("admin:oauth_session_revoke", args=(rows[Session].pk,)), confirmed)
    lock = rows[LoginCounter]
    found["logincounter_unlock"] = (reverse("admin:accounts_logincounter_unlock", args=(lock.pk,)), confirmed)
    found["logincounter_unlock_address"] = (f"{reverse('admin:accounts_logincounter_unlock_address')}?address={lock.source}", confirmed)
    taken_away = {"usable_password": "false", "unset-password": "1", "password1": "", "password2": ""}
    found["auth_user_password_change"] = (password_page(rows[User]), taken_away)
    for act_on_client in ("rotate_secret", "disable", "enable", "end_sessions"):
        found[f"client_{act_on_client}"] = (reverse(f"admin:oauth_client_{act_on_client}", args=(rows[Client].pk,)), {"confirmed": "True"})
    found["client_end_everything"] = (reverse("admin:oauth_client_end_everything"), {"confirmed": "True"})
    of_a_key = {"confirmed": "True", "reason": "harm"}
    found["signingkey_rotate"] = (reverse("admin:oauth_signingkey_rotate"), of_a_key)
    found["signingkey_revoke"] = (reverse("admin:oauth_signingkey_revoke", args=(rows[SigningKey].pk,)), of_a_key | {"kid": "another"})
    return found


def test_the_table_knows_every_address_of_the_admin(rows):
    names = {name.split("_", 1)[1] if "_" in name and "auth_user" not in name else name for name in GET}
    known = {name for _, name in paths_of(admin.site.get_urls()) if name}
    models = {f"{model._meta.app_label}_{model._meta.model_name}_{view}" for model in rows for view in _views()}
    acts = {
        *(f"oauth_signingkey_{name}" for name in ("rotate", "revoke")),
        *(f"oauth_client_{name}" for name in ("rotate_secret", "disable", "enable", "end_sessions", "end_everything")),
    }

    assert known - models - acts == {
        *("index", "login", "find", "explain", "logout", "password_change", "password_change_done", "jsi18n", "app_list"),
        *("auth_user_password_change", "accounts_auditevent_export"),
        *(act.url_name for act in ACTS),
        *("oauth_session_revoke", "accounts_logincounter_unlock", "accounts_logincounter_unlock_address"),
    }
    assert {*_views()} <= names
    assert {*GET} == {*POST} == {*addresses(rows)}


def _views():
    return ("changelist", "add", "change", "history", "delete")


def test_who_signed_in_and_is_no_staff_gets_no_page_of_the_admin_and_changes_nothing(make_user, rows):
    person = make_user("person")
    enrol(person)
    browser = Browser(raise_request_exception=False)
    send_password(browser, "person")
    assert send_code(browser, code_of(person)).status_code == 302
    assert browser.get("/account").status_code == 200  # signed in, with a second factor
    before = everything()

    for path, form in addresses(rows).values():
        if path in {reverse("admin:login"), reverse("admin:logout")}:
            continue  # 403: the table's; and whoever is signed in may sign out
        for response in (browser.get(path), browser.post(path, form)):
            assert (response.status_code, response["Location"].partition("?")[0]) == (302, reverse("admin:login")), path
    assert browser.get("/admin/", follow=True).status_code == 403
    assert everything() == before


@pytest.mark.parametrize("persona", PERSONAS)
def test_each_page_answers_each_person_as_the_table_says(cast, rows, persona):
    column = PERSONAS.index(persona)
    expected, answered = {}, {}
    for name, (path, form) in addresses(rows).items():
        for method, table in (("GET", GET), ("POST", POST)):
            with transaction.atomic():
                browser = browser_of(cast[persona])
                response = browser.generic("GET", path) if method == "GET" else browser.post(path, form)
                transaction.set_rollback(True)
            expected[f"{method} {name}"] = int(table[name].split()[column])
            answered[f"{method} {name}"] = response.status_code

    assert {name: status for name, status in answered.items() if status != expected[name]} == {}


@pytest.mark.parametrize("persona", ["nobody", "alice", "bare", "viewer"])
def test_who_may_only_look_changes_nothing_anywhere(cast, rows, persona):
    browser = browser_of(cast[persona])
    before = everything()

    for name, (path, form) in addresses(rows).items():
        if name == "logout":
            continue
        for query in ("", "?_popup=1&_to_field=id&_changelist_filters=q%3Da"):
            query = query.replace("?", "&") if "?" in path else query
            browser.get(path + query)
            browser.post(path + query, form)
            browser.post(path + query, form | {"_saveasnew": "1"})
            browser.post(path + query, form | {"_popup": "1", "_continue": "1", "_save": "1", "index": "0", "select_across": "1"})

    after = everything()
    assert {table for table in after if after[table] != before[table]} == set()


@pytest.mark.parametrize("persona", ["viewer", "root"])  # the others are stopped at the door, as above
def test_no_address_is_a_failure_of_the_server_whatever_follows_it(cast, rows, persona):
    browser = browser_of(cast[persona])
    odd = ("x", "-1", "9" * 40, "_5F", "_00", "..%2F", "00000000-0000-0000-0000-000000000000", "%F0%9F%94%91")
    lookups = ("", "__exact", "__id__exact", "__range", "__id__range", "__in")

    answers = {}
    for model in rows:
        base = page("changelist", model)
        for path in (f"{base}{pk}/{view}" for pk in odd for view in ("change/", "history/", "delete/", "password/", "unlock/", "revoke/")):
            answers[path] = browser.get(path).status_code
            if "/x/" in path or "/0" in path:
                answers[f"POST {path}"] = browser.post(path, {"post": "yes"}).status_code
        own = [each for each in admin.site._registry[model].list_filter if isinstance(each, str)]
        filters = (f"{each}{lookup}=1" for each in [*own, FILTERED[0]] for lookup in lookups)
        queries = ("_to_field=password", "_to_field=x", "_to_field=username", "_popup=1", "e=1", "all=", "o=1.-2", "p=-1")
        of_row = page("change", rows[model])
        for path in (*(f"{base}?{query}" for query in (*queries, *filters)), *(f"{of_row}?{query}" for query in queries)):
            answers[path] = browser.get(path).status_code
    for path in ("autocomplete/?app_label=oauth&model_name=session&field_name=user", "r/1/x/", "r/x/1/", "jsi18n/?x=1"):
        answers[path] = browser.get(f"/admin/{path}").status_code

    assert {path: status for path, status in answers.items() if status not in {200, 301, 302, 400, 403, 404, 405}} == {}


@pytest.mark.checklist(104)
def test_long_after_the_sign_in_no_form_changes_anything(cast, rows):
    before = everything()
    browser = Browser()
    let_in(browser, cast["root"], ago=timedelta(minutes=16))

    answers = {name: browser.post(path, form) for name, (path, form) in addresses(rows).items() if name != "logout"}

    assert everything() == before
    asked = {name for name, answer in answers.items() if answer.headers.get("Location", "").startswith("/sign-in/again?")}
    assert asked >= {
        "user_change",
        "auth_user_password_change",
        "group_add",
        "group_change",
        "group_delete",
        "client_change",
        "role_change",
    }
    assert asked >= {f"user_{act.slug}" for act in ACTS} | {
        "session_revoke",
        "signingkey_rotate",
        "signingkey_revoke",
        "client_rotate_secret",
    }


@pytest.mark.checklist(100)
def test_every_form_needs_the_token_of_its_page(cast, rows):
    before = everything()
    browser = Browser(raise_request_exception=False, enforce_csrf_checks=True)
    let_in(browser, cast["root"])

    answers = {name: browser.post(path, form).status_code for name, (path, form) in addresses(rows).items()}

    assert {*answers.values()} == {403}
    assert everything() == before


@pytest.mark.checklist(100)
def test_signing_out_kills_the_session_of_the_cookie(cast):
    browser, thief = browser_of(cast["root"]), Browser()
    cookie = browser.cookies[django_settings.SESSION_COOKIE_NAME].value

    assert browser.post("/admin/logout/").status_code == 200

    thief.cookies[django_settings.SESSION_COOKIE_NAME] = cookie
    assert thief.get("/admin/").status_code == 302
    assert not BrowserSession.objects.exists()


@pytest.mark.checklist(100)
def test_the_cookies_are_for_this_site_and_for_no_script(root):
    browser = Browser()
    log_in(browser, "root")

    attributes = {(cookie["httponly"], cookie["samesite"]) for cookie in browser.cookies.values() if "authserver" in cookie.key}
    assert attributes == {(True, "Lax")}


def test_no_view_answers_what_no_page_asks(cast):
    for path in ("autocomplete/?app_label=oauth&model_name=session&field_name=user", "r/1/1/"):
        assert browser_of(cast["root"]).get(f"/admin/{path}").status_code == 404


# --- Nobody becomes more than they are ----------------------------------------------------------


@pytest.fixture
def manager(make_staff):
    """Has every permission there is, and is no superuser."""
    user = make_staff("manager")
    user.user_permissions.set(Permission.objects.all())
    return browser_of(user)


@pytest.fixture
def editing(editor_of_users):
    return browser_of(editor_of_users)


RIGHTS = {"is_staff": "on", "is_superuser": "on"}


def rights_of(user):
    row = User.objects.get(pk=user.pk)
    return (row.is_staff, row.is_superuser, row.is_active, row.groups.count(), row.user_permissions.count())


@pytest.mark.parametrize("persona", ["editing", "manager"])
def test_whoever_may_change_users_gives_nobody_rights(request, alice, persona):
    browser = request.getfixturevalue(persona)
    group = Group.objects.create(name="helpers")
    everything_there_is = [permission.pk for permission in Permission.objects.all()]
    before = rights_of(alice)

    form = form_of(browser.get(page("change", alice)))
    asked = form | RIGHTS | {"name": "Alice", "groups": [group.pk], "user_permissions": everything_there_is}
    response = browser.post(page("change", alice), asked)

    assert not {*form} & {"is_staff", "is_superuser", "groups", "user_permissions"}
    assert response.status_code == 302
    assert User.objects.get(pk=alice.pk).name == "Alice"
    assert rights_of(alice) == before


@pytest.mark.parametrize("persona", ["editing", "manager"])
@pytest.mark.parametrize("fields", [{"is_staff": True}, {"is_superuser": True}, {"is_superuser": True, "is_active": False}], ids=str)
def test_whoever_may_change_users_touches_no_staff(request, make_user, persona, fields):
    browser, boss = request.getfixturevalue(persona), make_user("boss", **fields)
    before = everything()
    passwords = {"usable_password": "true", "password1": "another horse battery", "password2": "another horse battery"}

    answers = [
        browser.get(page("change", boss)).status_code,
        browser.post(page("change", boss), {"username": "boss", "email": "mallory@example.com", "is_active": "on"}).status_code,
        browser.post(f"{page('change', boss)}?_to_field=id", {"username": "boss"}).status_code,
        browser.get(password_page(boss)).status_code,
        browser.post(password_page(boss), passwords | {"set-password": "1"}).status_code,
        browser.post(password_page(boss), {"usable_password": "false", "unset-password": "1"}).status_code,
        browser.get(page("history", boss)).status_code,
        browser.post(page("history", boss), {"post": "yes"}).status_code,
        browser.post(page("delete", boss), {"post": "yes"}).status_code,
    ]

    assert answers == [200, 403, 403, 403, 403, 403, 200, 200, 403]
    assert everything() == before


@pytest.mark.parametrize("persona", ["editing", "manager"])
def test_whoever_may_change_users_changes_not_even_themselves(request, editor_of_users, persona):
    browser = request.getfixturevalue(persona)
    me = User.objects.get(pk=browser.session["_auth_user_id"])
    before = everything()

    response = browser.post(page("change", me), {"username": me.username, "email": me.email, "is_active": "on"} | RIGHTS)

    assert response.status_code == 403
    assert everything() == before


@pytest.mark.parametrize("fields", [{}, {"_saveasnew": "1"}, {"_popup": "1"}, {"_addanother": "1"}], ids=str)
def test_the_page_that_makes_users_makes_plain_ones(manager, root, fields):
    form = {"username": "carol", "email": "", "usable_password": "true", "password1": PASSWORD, "password2": PASSWORD}
    rights = RIGHTS | {"groups": [Group.objects.create(name="helpers").pk], "user_permissions": [Permission.objects.first().pk]}

    assert manager.post(page("add", User), form | rights | fields).status_code in {200, 302}

    assert rights_of(User.objects.get(username="carol")) == (False, False, True, 0, 0)


def test_a_user_saved_as_another_one_is_no_way_round_the_right_to_add(editing, alice):
    form = {"username": "carol", "email": "", "usable_password": "false", "_saveasnew": "1"}

    assert editing.post(page("change", alice), form).status_code == 403

    assert not User.objects.filter(username="carol").exists()


def test_the_right_to_add_users_is_none_without_the_right_to_change_them(make_staff):
    browser = browser_of(make_staff("clerk", "accounts.add_user"))

    assert browser.get(page("add", User)).status_code == 403
    assert browser.post(page("add", User), {"username": "carol", "usable_password": "false"}).status_code == 403
    assert not User.objects.filter(username="carol").exists()


def test_groups_are_for_superusers(manager):
    group = Group.objects.create(name="helpers")
    every = [permission.pk for permission in Permission.objects.all()]
    before = everything()

    answers = [
        manager.get(page("changelist", Group)).status_code,
        manager.get(page("change", group)).status_code,
        manager.post(page("change", group), {"name": "helpers", "permissions": every}).status_code,
        manager.post(page("add", Group), {"name": "mine", "permissions": every}).status_code,
        manager.post(page("delete", group), {"post": "yes"}).status_code,
        manager.get("/admin/auth/").status_code,
    ]

    assert answers == [403, 403, 403, 403, 403, 404]
    assert everything() == before


def test_roles_of_users_are_given_by_who_may_change_roles(editing, make_staff, alice):
    admin_role = Role.objects.create(name="admin")
    form = form_of(editing.get(page("change", alice))) | {"roles": [admin_role.pk]}

    assert editing.post(page("change", alice), form).status_code == 302
    assert {*alice.roles.values_list("name", flat=True)} == {"author", "reviewer"}

    allowed = browser_of(make_staff("registrar", "accounts.view_user", "accounts.change_user", "accounts.change_role"))
    assert allowed.post(page("change", alice), form | {"is_active": "on"}).status_code == 302
    assert {*alice.roles.values_list("name", flat=True)} == {"admin"}


def test_to_change_a_user_is_not_to_disable_them(editing, make_staff, alice):
    form = {name: value for name, value in form_of(editing.get(page("change", alice))).items() if name != "is_active"}

    assert editing.post(page("change", alice), form).status_code == 302
    assert User.objects.get(pk=alice.pk).is_active

    allowed = browser_of(make_staff("guard", "accounts.view_user", "accounts.change_user", "accounts.disable_user"))
    assert allowed.post(page("change", alice), form).status_code == 302
    assert not User.objects.get(pk=alice.pk).is_active


def test_whoever_only_views_is_offered_nothing_to_send(cast, rows):
    browser = browser_of(cast["viewer"])

    text = "".join(browser.get(page("change", row)).content.decode() for model, row in rows.items() if model is not Group)

    assert 'name="_save"' not in text
    assert "../password/" not in text
    assert "sign_out_everywhere" not in browser.get(page("changelist", User)).content.decode()


def test_the_right_to_sign_out_does_so_to_users_and_not_to_staff(make_staff, make_user, alice, signed_in, refresh):
    browser = browser_of(make_staff("helpdesk", "accounts.view_user", "accounts.sign_out_user"))
    boss = make_user("boss", is_staff=True)

    done = confirm(browser, "sign_out_everywhere", [alice, boss])
    told = "Sign out everywhere: done for 1. Left out, as staff are an owner's to change: boss."
    assert messages_in(browser.get(done["Location"])) == [told]
    assert refresh(signed_in.body["refresh_token"]).error == "invalid_grant"
    assert User.objects.get(pk=boss.pk).session_epoch == boss.session_epoch


@pytest.mark.checklist(77)
def test_nobody_is_signed_out_without_the_right_to(cast, alice):
    for persona in ("bare", "viewer", "editor"):
        browser = browser_of(cast[persona])
        assert confirm(browser, "sign_out_everywhere", [alice]).status_code == 403
        assert act(browser, "sign_out_everywhere", [alice], confirmed="True", index="0", select_across="1").status_code == 403

    assert User.objects.get(pk=alice.pk).session_epoch == alice.session_epoch
    assert not AuditEvent.objects.filter(event="user:sessions:revoked").exists()


# --- Somebody remains who can do everything --------------------------------------------------------


@pytest.mark.parametrize("flag", ["is_active", "is_staff", "is_superuser"])
def test_the_last_superuser_stays_one(root, make_user, flag):
    make_user("gone", is_staff=True, is_superuser=True, is_active=False)
    make_user("outside", is_superuser=True)
    browser = browser_of(root)
    form = {name: value for name, value in form_of(browser.get(page("change", root))).items() if name != flag}

    assert errors_in(browser.post(page("change", root), form)) == {"__all__": [LAST_SUPERUSER]}

    assert rights_of(root)[:3] == (True, True, True)


def test_the_last_superuser_keeps_a_password(root):
    browser = browser_of(root)

    response = browser.post(password_page(root), {"usable_password": "false", "unset-password": "1", "password1": "", "password2": ""})

    assert str(LAST_SUPERUSER) in response.content.decode()
    assert User.objects.get(pk=root.pk).has_usable_password()


@pytest.mark.parametrize("flag", ["is_active", "is_staff", "is_superuser"])
def test_one_of_two_superusers_can_cease_to_be_one(root, make_user, flag):
    second = make_user("second", is_staff=True, is_superuser=True)
    browser = browser_of(root)
    form = {name: value for name, value in form_of(browser.get(page("change", second))).items() if name != flag}

    assert browser.post(page("change", second), form).status_code == 302

    assert not getattr(User.objects.get(pk=second.pk), flag)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("round", range(4))
def test_of_two_superusers_who_disable_each_other_at_once_one_remains(root, make_user, round):
    second = make_user("second", is_staff=True, is_superuser=True)
    pairs = [(browser_of(root), second), (browser_of(second), root)]
    forms = [
        {name: value for name, value in form_of(browser.get(page("change", other))).items() if name != "is_active"}
        for browser, other in pairs
    ]
    barrier = threading.Barrier(2)

    def disable(number):
        browser, other = pairs[number]
        barrier.wait(timeout=30)
        try:
            return browser.post(page("change", other), forms[number]).status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as threads:
        answers = [*threads.map(disable, range(2))]

    # One is done. The other is told so, or, disabled before it was looked at, is asked to sign in.
    assert answers in ([302, 200], [200, 302], [302, 302])
    assert User.objects.filter(is_active=True, is_staff=True, is_superuser=True).count() == 1


def test_superusers_give_and_take_rights(root, alice):
    browser = browser_of(root)
    group = Group.objects.create(name="helpers")

    form = form_of(browser.get(page("change", alice))) | RIGHTS | {"groups": [group.pk]}
    assert browser.post(page("change", alice), form).status_code == 302

    assert rights_of(alice) == (True, True, True, 1, 0)


def test_everything_that_the_walk_changed_by_a_superuser_is_on_record(cast, rows):
    browser = browser_of(cast["root"])
    since = AuditEvent.objects.latest().pk
    found = addresses(rows)

    for name in (
        "role_add",
        "role_change",
        "group_add",
        "group_change",
        "user_add",
        "user_changelist",
        "client_change",
        "session_changelist",
        "logincounter_changelist",
    ):
        path, form = found[name]
        assert browser.post(path, form).status_code == 302, name
    assert browser.post(*found["auth_user_password_change"]).status_code == 302
    assert browser.post(*found["logout"]).status_code == 200

    events = {event.event for event in AuditEvent.objects.filter(pk__gt=since, actor_id=cast["root"].pk)}
    assert events == {
        "role:registration:created",
        "role:registration:changed",
        "group:registration:created",
        "group:registration:changed",
        "user:account:created",
        "user:sessions:revoked",
        "client:registration:changed",
        "session:revocation:succeeded",
        "user:lockout:lifted",
        "user:password:changed",
        "user:sign_out:succeeded",
    }
    assert events <= audit.EVENTS
    assert Client.objects.filter(name="other").exists()
