"""Every URL that takes a password stands behind the same counters: no lock and no ceiling is reached around by another door."""

import ast
import json
from contextlib import contextmanager
from datetime import timedelta

import pytest
from allauth.mfa.models import Authenticator
from django.test import Client as Browser
from django.urls import URLPattern, get_resolver

from accounts.models import LoginCounter, User
from authserver import openapi
from authserver.env import Rate
from tests.browsers import sign_in as sign_in_by_password
from tests.conftest import PASSWORD
from tests.project.test_architecture import FILES
from tests.staff import let_in, log_in, send_password, token_in

# Who asks for a password to be verified, and the URLs that lead there.
CALLERS = {
    "oauth.grant_types.password": {"/oauth/token"},
    "oauth.account_api._prove_again": {"/api/v1/me/password", "/api/v1/me/email"},
    "accounts.authentication.authenticate": {"/sign-in"},  # Backend's, which allauth's form for signing in calls
    "accounts.current_password.verify": {"/sign-in/again", "/admin/password_change/", "/account/password", "/account/email"},
    "oauth.sign_in.verify_password": set(),  # hands the question on
}
PAGES = ("/admin/", "/sign-in", "/account/")
DOORS = sorted(set().union(*CALLERS.values()))

# Where a password is set and none is verified.
SETS_ALONE = {"/admin/accounts/user/add/", "/admin/accounts/user/{}/password/", "/api/v1/register", "/register", "/password-reset/confirm"}

NEW_PASSWORD = "another horse, another battery"


# --- The list is complete ------------------------------------------------------------------------


def verifying_calls(module):
    """The functions of a module that call one of ours, or of Django's, that verifies a password."""
    for function in ast.walk(ast.parse(FILES[module].read_text(encoding="utf-8"))):
        if isinstance(function, ast.FunctionDef):
            calls = [node.func for node in ast.walk(function) if isinstance(node, ast.Call)]
            if any(ast.unparse(call) in {"authenticate", "authentication.authenticate", "verify_password"} for call in calls):
                yield f"{module}.{function.name}"


def test_every_caller_is_on_the_list():
    assert {caller for module in FILES for caller in verifying_calls(module)} == set(CALLERS)


def test_nothing_verifies_a_password_past_them():
    names = {"check_password", "acheck_password", "aauthenticate", "login_required_with_password"}
    used = {
        (module, node.attr if isinstance(node, ast.Attribute) else node.id)
        for module, path in FILES.items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute | ast.Name)
    }

    assert [(module, name) for module, name in used if name in names] == []


def pages(resolver, prefix="/"):
    for entry in resolver.url_patterns:
        if isinstance(entry, URLPattern):
            yield prefix + str(entry.pattern)
        else:
            yield from pages(entry, prefix + str(entry.pattern))


def content_of(response):
    return b"" if response.streaming else response.content


@pytest.mark.django_db
def test_every_page_with_a_field_for_a_password_is_on_the_list(make_user, settings):
    settings.REGISTRATION = "open"
    staff = make_user("staff", is_staff=True, is_superuser=True)
    anybody, browser = Browser(raise_request_exception=False), Browser(raise_request_exception=False)
    let_in(browser, staff)
    by_password_alone = Browser(raise_request_exception=False)
    sign_in_by_password(by_password_alone, make_user("person"))
    paths = {path.replace("<path:object_id>", "{}").replace("<id>", "{}") for path in pages(get_resolver())}
    plain = {path for path in paths if "<" not in path and "(" not in path and "logout" not in path}

    with_a_field = {
        path
        for path in plain
        for each in (anybody, browser, by_password_alone)
        if b'type="password"' in content_of(each.get(path.replace("{}", str(staff.pk))))
    }

    assert with_a_field - SETS_ALONE == {path for path in DOORS if path.startswith(PAGES)}


def test_every_operation_that_takes_a_password_is_on_the_list():
    document = openapi.document()
    schemas = document["components"]["schemas"]
    taking = {name for name, schema in schemas.items() if {"password", "current_password"} & set(schema.get("properties", {}))}

    with_one = {
        path
        for path, item in document["paths"].items()
        for operation in item.values()
        if isinstance(operation, dict) and any(f'schemas/{name}"' in json.dumps(operation.get("requestBody", {})) for name in taking)
    }

    assert with_one - SETS_ALONE == {path for path in DOORS if not path.startswith(PAGES)}


# --- Each of them counts -------------------------------------------------------------------------


@pytest.fixture
def alice(make_user):
    return make_user("alice", is_staff=True, is_superuser=True)


@pytest.fixture
def _portal(make_client):
    make_client("portal", allowed_scopes="api:read auth:account", default_scopes="api:read")


@contextmanager
def by_password_alone(user):
    """As if they had no second factor: who has one is not asked for the password again."""
    factors = [*Authenticator.objects.filter(user=user)]
    Authenticator.objects.filter(user=user).delete()
    yield
    Authenticator.objects.bulk_create(factors)


@pytest.fixture
def present(alice, sign_in, _portal):
    """Send a password of alice's at a door, and say whether it was let in. What a door needs besides was got before."""
    token = sign_in(client_id="portal", scope="auth:account").body["access_token"]
    inside, outside = Browser(raise_request_exception=False), Browser(raise_request_exception=False)
    assert log_in(inside, "alice").status_code == 302
    LoginCounter.objects.all().delete()  # alice is not known here yet

    def send(door, password):
        match door:
            case "/oauth/token":
                return sign_in(password=password).error == "mfa_required"  # it was right, and does not suffice
            case "/sign-in":
                return send_password(outside, "alice", password).status_code == 302
            case "/sign-in/again":
                with by_password_alone(alice):
                    page = inside.get(door)
                    return inside.post(door, {"password": password, "csrfmiddlewaretoken": token_in(page)}).status_code == 302
            case "/admin/password_change/":
                form = {"old_password": password, "new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD}
                page = inside.get(door)
                return inside.post(door, form | {"csrfmiddlewaretoken": token_in(page)}).status_code == 302
            case "/account/password":
                form = {"current_password": password, "new_password": NEW_PASSWORD, "again": NEW_PASSWORD}
                page = inside.get(door)
                return inside.post(door, form | {"csrfmiddlewaretoken": token_in(page)}).status_code == 302
            case "/account/email":
                form = {"current_password": password, "email": "new@example.com"}
                page = inside.get(door)
                return inside.post(door, form | {"csrfmiddlewaretoken": token_in(page)}).status_code == 302
            case "/api/v1/me/password":
                body = {"current_password": password, "new_password": NEW_PASSWORD}
            case "/api/v1/me/email":
                body = {"current_password": password, "email": "new@example.com"}
        response = outside.post(door, body, content_type="application/json", HTTP_AUTHORIZATION=f"Bearer {token}")
        return response.status_code in {202, 204}

    return send


@pytest.mark.parametrize("door", DOORS)
def test_the_right_password_is_let_in(present, door):
    assert present(door, PASSWORD)


@pytest.mark.checklist(51)
@pytest.mark.parametrize("door", DOORS)
def test_a_failure_at_any_door_counts_towards_the_lock_of_all(present, settings, door):
    settings.BRUTE_FORCE_THRESHOLD = 1

    assert not present(door, "wrong")

    assert [each for each in DOORS if present(each, PASSWORD)] == []


@pytest.mark.checklist(47, 51)
@pytest.mark.parametrize("door", DOORS)
def test_a_failure_at_any_door_counts_towards_the_ceiling_of_all(present, sign_in, settings, door):
    settings.RATE_LIMIT_FAILURES_PER_IP = Rate(1, timedelta(hours=1))

    assert not present(door, "wrong")

    assert [each for each in DOORS if present(each, PASSWORD)] == []
    assert User.objects.get(username="alice").check_password(PASSWORD)
    assert sign_in(password=PASSWORD).error == "rate_limit_exceeded"
    assert sign_in(password=PASSWORD, REMOTE_ADDR="198.51.100.7").error == "mfa_required"


def test_a_person_is_told_in_plain_words(present, settings, client):
    settings.RATE_LIMIT_FAILURES_PER_IP = Rate(1, timedelta(hours=1))
    present("/oauth/token", "wrong")

    page = log_in(client, "alice", PASSWORD)

    assert "Too many failed attempts from your network. Try again later." in page.content.decode()
