"""The pages of the admin, all of them, opened by who may do everything: no secret, digest or ciphertext stands on any of them."""

import base64
import hashlib
import json
from datetime import timedelta

import pytest
from django.apps import apps
from django.conf import settings as django_settings
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import flatten_fieldsets
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.contrib.auth.models import Group, Permission
from django.db import models
from django.test import Client as Browser
from django.urls import reverse
from django.utils.html import escape

from accounts.clock import Instant
from accounts.models import AuditEvent, LoginCounter, OneTimeToken, Outbox, Refusal, Role, User
from oauth import clients, key_rotation
from oauth.models import Client, Session, SigningKey
from oauth.user_acts import ACTS
from tests.conftest import PASSWORD
from tests.staff import BROWSER, act, confirm, form_of, log_in, page, password_page

pytestmark = [pytest.mark.django_db, pytest.mark.checklist(102)]

CODE = "the-code-of-a-mail-that-was-sent"
NEW_PASSWORD = "another horse battery"
KEY = "0123456789abcdef-idempotency"
HASHERS = ("argon2$", "md5$", "pbkdf2_")  # the names of algorithms are no secret


@pytest.fixture
def root(make_user):
    """May do everything."""
    return make_user("root", is_staff=True, is_superuser=True)


@pytest.fixture
def staff(root):
    """A browser in which root is signed in, and what it was ever answered."""
    browser = Recorder(raise_request_exception=False, headers={"user-agent": BROWSER})
    assert log_in(browser, "root").status_code == 302
    return browser


class Recorder(Browser):
    """Keeps every answer, with its headers and its cookies but the two that it needs: they are secrets of the browser's own."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.answers = {}

    def request(self, **request):
        response = super().request(**request)
        own = {django_settings.SESSION_COOKIE_NAME, django_settings.CSRF_COOKIE_NAME}
        cookies = [cookie.OutputString() for name, cookie in response.cookies.items() if name not in own]
        sent = f"{request['REQUEST_METHOD']} {request['PATH_INFO']}?{request.get('QUERY_STRING', '')}"
        self.answers[sent] = (response.status_code, "\n".join([str(response.headers), *cookies, response.content.decode()]))
        return response


@pytest.fixture
def typed(staff, alice, bob, editor, robot, sign_in, signed_in, refresh, post):
    """Every kind of row there is, every secret column filled, and the secrets that were on the wire."""
    refreshed = refresh(signed_in.body["refresh_token"], key=KEY)
    own = post({"grant_type": "client_credentials", "client_id": "robot", "client_secret": robot.secret_value})
    assert (refreshed.status, own.status) == (200, 200)
    assert sign_in("alice", "a wrong password").status == 400
    rotated = clients.rotate_secret(robot.client, keep_old_for=timedelta(days=1))
    User.objects.filter(pk=bob.pk).update(password=PBKDF2PasswordHasher().encode(PASSWORD, "saltsaltsaltsaltsaltsa", iterations=1000))
    OneTimeToken.objects.create(
        digest=hashlib.sha256(CODE.encode()).digest(),
        purpose="email_change",
        user=alice,
        email="new@example.com",
        created_at=Instant(),
        expires_at=Instant(plus=timedelta(minutes=30)),
    )
    Outbox.objects.create(
        kind="email_change", user=alice, email="new@example.com", language="en", created_at=Instant(), next_try_at=Instant()
    )
    LoginCounter.objects.update(locked_until=Instant(plus=timedelta(minutes=15)))
    key_rotation.maintain()
    group = Group.objects.create(name="helpers")
    group.permissions.set(Permission.objects.all()[:3])
    return {
        *(answer.body[name] for answer in (signed_in, refreshed) for name in ("access_token", "refresh_token")),
        own.body["access_token"],
        robot.secret_value,
        rotated.secret_value,
        *(CODE, KEY, PASSWORD, NEW_PASSWORD, "a wrong password"),
    }


def kept():
    """What the server keeps to itself: every binary column, hash, ciphertext and digest in the tables, and its own keys."""
    for model in apps.get_models():
        binary = [field.attname for field in model._meta.concrete_fields if isinstance(field, models.BinaryField)]
        for row in model._base_manager.values_list(*binary) if binary else ():
            for value in row:
                yield from spellings_of(value)
    for password in User.objects.values_list("password", flat=True):
        *_, salt, digest = password.split("$")
        yield from (password, salt, digest, salt[:8], digest[:8])
    for private_key in SigningKey.objects.values_list("private_key", flat=True):
        yield from (private_key, private_key[:40])
    for session in apps.get_model("sessions", "Session").objects.all():
        yield from (session.session_key, session.session_data)
    yield from (django_settings.SECRET_KEY, *django_settings.TOKEN_KEYS, *django_settings.KEY_ENCRYPTION_KEYS)


def spellings_of(stored):
    if stored is not None:
        value = bytes(stored)
        yield from (
            value.hex(),
            value.hex().upper(),
            base64.b64encode(value).decode().rstrip("="),
            base64.urlsafe_b64encode(value).decode().rstrip("="),
            str(value),
        )


def open_everything(staff):
    """Every list with its filters, orders and searches, every page of every row, and the pages between."""
    for path in ("", "accounts/", "oauth/", "auth/", "password_change/", "password_change/done/", "jsi18n/", "nowhere/"):
        staff.get(f"/admin/{path}")
    for model, pages in admin.site._registry.items():
        changelist = page("changelist", model)
        columns = range(len(pages.list_display) + 1)
        for query in ("", "q=alice", "q=editor", "all=", "_popup=1", "e=1", "p=2", *(f"o=-{column}" for column in columns)):
            staff.get(f"{changelist}?{query}")
        for link in filter_links(staff, changelist):
            staff.get(changelist + link)
        staff.get(page("add", model))
        for row in model._base_manager.all():
            for view in ("change", "history", "delete"):
                staff.get(page(view, row))
                staff.get(f"{page(view, row)}?_popup=1&_to_field={model._meta.pk.name}")
            staff.get(f"{changelist}?q={row.pk}")
    for user in User.objects.all():
        staff.get(password_page(user))
    for client in Client.objects.all():
        for name in ("rotate-secret", "disable", "enable", "end-sessions"):
            staff.get(f"/admin/oauth/client/{client.pk}/{name}/")
    staff.get("/admin/oauth/client/end-everything/")
    staff.get("/admin/oauth/signingkey/rotate/")
    for key in SigningKey.objects.all():
        staff.get(f"/admin/oauth/signingkey/{key.pk}/compromised/")
    for user in User.objects.all():
        for each in ACTS:
            staff.get(reverse(f"admin:{each.url_name}", args=(user.pk,)))
    for session in Session.objects.all():
        staff.get(reverse("admin:oauth_session_revoke", args=(session.pk,)))
    for counter in LoginCounter.objects.all():
        staff.get(reverse("admin:accounts_logincounter_unlock", args=(counter.pk,)))
        staff.get(reverse("admin:accounts_logincounter_unlock_address"), {"address": counter.source})
    act(staff, "sign_out_everywhere", [*User.objects.all()])
    act(staff, "end_sessions", [*Session.objects.all()])
    act(staff, "lift", [*LoginCounter.objects.all()])


def filter_links(staff, changelist):
    cl = staff.get(changelist).context.get("cl")
    return [choice["query_string"] for spec in (cl.filter_specs if cl else ()) for choice in spec.choices(cl)]


def change_everything(staff):
    """Save every form, so that there is a history, and messages."""
    for model in (User, Role, Group, Client):
        for row in model._base_manager.all():
            staff.post(
                page("change", row), form_of(staff.get(page("change", row))) | {"name": f"{row} too", "description": "other"}, follow=True
            )
    alice = User.objects.get(username="alice")
    passwords = {"usable_password": "true", "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    staff.post(password_page(alice), passwords | {"set-password": "1"}, follow=True)
    staff.post(password_page(alice), passwords | {"password2": "another", "set-password": "1"})
    staff.post(page("add", User), passwords | {"username": "carol"}, follow=True)
    staff.post(page("add", User), passwords | {"username": "carol"})
    staff.post(
        "/admin/password_change/", {"old_password": "a wrong password", "new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD}
    )
    confirm(staff, "end_sessions", [*Session.objects.all()], reason="to see what is said")
    confirm(staff, "sign_out_everywhere", [alice], reason="to see what is said")
    staff.post(page("delete", Role.objects.first()), {"post": "yes"}, follow=True)


def found_in(text, secrets):
    return [secret for secret in secrets if secret and (secret in text or escape(secret) in text)]


@pytest.mark.checklist(31)
def test_no_page_of_the_admin_holds_a_secret(staff, typed):
    before = {*kept()}
    kid, sid = SigningKey.objects.earliest("sequence").kid, str(Session.objects.get().pk)

    change_everything(staff)
    open_everything(staff)

    secrets = typed | before | {*kept()}
    assert len(staff.answers) > 150
    assert len(secrets) > 60
    assert {sent: status for sent, (status, _) in staff.answers.items() if status >= 500} == {}
    assert {sent: found for sent, (_, text) in staff.answers.items() if (found := found_in(text, secrets))} == {}
    # And the walk saw everything.
    shown = "".join(text for _, text in staff.answers.values())
    names = {"bob", "robot", "helpers", "author", "user:sign_in:failed", kid, sid, *Refusal.objects.values_list("error_id", flat=True)}
    assert {name for name in names if name not in shown} == set()


def test_neither_the_history_nor_the_record_of_what_staff_did_holds_a_secret(staff, typed):
    before = {*kept()}

    change_everything(staff)

    secrets = typed | before | {*kept()}
    history = json.dumps([*LogEntry.objects.values()], default=str)
    record = json.dumps([*AuditEvent.objects.values()], default=str)
    assert LogEntry.objects.count() > 8
    assert AuditEvent.objects.filter(event__endswith=":changed").count() > 6
    assert found_in(history, secrets) == []
    assert found_in(record, secrets) == []


def test_no_row_names_itself_by_a_secret(staff, typed):
    names = [text for model in apps.get_models() for row in model._base_manager.all() for text in (str(row), repr(row))]
    browsers_own = {session.session_key for session in apps.get_model("sessions", "Session").objects.all()}

    assert found_in("\n".join(names), typed | {*kept()} - browsers_own) == []


@pytest.mark.parametrize(
    ("model", "lookup"),
    [
        (User, "password__startswith"),
        (User, "roles__users__password__startswith"),
        (User, "groups__user__password__startswith"),
        (User, "oauth_sessions__retry_digest__gt"),
        (Session, "user__password__startswith"),
        (Session, "retry_digest__gt"),
        (Session, "client__secret_digest__gt"),
        (Session, "client__sessions__retry_digest__gt"),
        (Client, "secret_digest__gt"),
        (Client, "previous_secret_digest__gt"),
        (Client, "sessions__retry_digest__gt"),
        (Role, "users__password__startswith"),
        (Group, "user__password__startswith"),
        (AuditEvent, "detail__contains"),
    ],
)
def test_no_secret_is_spelt_out_piece_by_piece_through_a_filter(staff, typed, model, lookup):
    assert staff.get(page("changelist", model), {lookup: "a"}).status_code == 400


@pytest.mark.parametrize("model", [model for model, pages in admin.site._registry.items() if pages.search_fields])
def test_no_search_finds_a_row_by_a_secret(staff, typed, model):
    changelist = page("changelist", model)
    pieces = {secret[:length] for secret in kept() for length in (8, 1000) if len(secret) >= 8}

    found = {piece: [*staff.get(changelist, {"q": piece}).context["cl"].result_list] for piece in pieces if not piece.startswith(HASHERS)}

    assert len(found) > 40
    assert {piece: rows for piece, rows in found.items() if rows} == {}


def test_no_page_lists_shows_orders_or_searches_a_secret_column():
    secret = {"password", "digest", "secret_digest", "previous_secret_digest", "retry_digest", "private_key", "session_key", "session_data"}
    for pages in admin.site._registry.values():
        fields = [*flatten_fieldsets(pages.fieldsets or ()), *(pages.fields or ()), *pages.readonly_fields]
        named = [*pages.list_display, *pages.search_fields, *(pages.ordering or ()), *pages.list_filter, *fields]
        assert not {part for name in named if isinstance(name, str) for part in name.strip("-=^").split("__")} & secret, pages


def test_mails_and_codes_have_no_page():
    assert not {OneTimeToken, Outbox} & {*admin.site._registry}
    assert not any(model._meta.label.startswith(("sessions.", "oauth2_provider.")) for model in admin.site._registry)


def test_no_list_is_exported():
    offered = {action for pages in admin.site._registry.values() for action in pages.actions or ()}

    assert offered == {
        "unlock_users",
        "send_password_resets",
        "sign_out_everywhere",
        "disable_users",
        "disable_clients",
        "end_sessions",
        "lift",
    }
