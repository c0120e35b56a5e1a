"""The OpenAPI document describes every JSON endpoint, exactly as it is."""

import json
import re
import tomllib
from pathlib import Path
from uuid import uuid4

import pytest
from django.conf import settings as django_settings
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.test import Client as Browser
from django.urls import get_resolver

import authserver
from authserver import openapi
from oauth import scopes
from oauth.errors import AuthorizationError, OAuthError
from oauth.grant_types import GRANT_TYPES
from oauth.models import DEVICE_CODE
from tests.devices import ask, browser_of, decide, let_device_in, poll, type_code
from tests.openapi import bodies_of, closed, errors_of, operations_of
from tests.project.test_docs import paths_of, refusals

ROOT = Path(__file__).resolve().parent.parent.parent

# Pages for people, and what Prometheus reads.
NOT_JSON = {
    *("/", "/admin/", "/api/docs", "/confirm-email", "/password-reset", "/password-reset/confirm", "/metrics", "/language"),
    *("/sign-in", "/sign-in/again", "/sign-in/code", "/sign-in/code/again", "/sign-in/passkey", "/sign-in/passkey/again", "/sign-out"),
    *("/oauth/authorize", "/oauth/authorize/decision", "/oauth/authorize/resume", "/oauth/logout", "/oauth/logout/confirmed"),
    *("/account", "/account/email", "/account/password", "/account/sessions", "/account/sessions/end-others", "/account/sessions/{id}/end"),
    *("/account/apps", "/account/apps/{id}/disconnect", "/register"),
    *("/account/security", "/account/security/authenticator", "/account/security/authenticator/remove"),
    *("/oauth/device", "/oauth/device/qr"),
    *("/account/security/passkeys/add", "/account/security/passkeys/{pk}/remove", "/account/security/recovery-codes"),
}

ADMINISTRATION = {
    "list_users": ("GET", "users"),
    "create_user": ("POST", "users"),
    "read_user": ("GET", "users/{id}"),
    "change_user": ("PATCH", "users/{id}"),
    "read_user_roles": ("GET", "users/{id}/roles"),
    "set_user_roles": ("PUT", "users/{id}/roles"),
    "lock_user": ("POST", "users/{id}/lock"),
    "unlock_user": ("POST", "users/{id}/unlock"),
    "send_password_reset": ("POST", "users/{id}/password-reset"),
    "list_user_sessions": ("GET", "users/{id}/sessions"),
    "end_user_sessions": ("DELETE", "users/{id}/sessions"),
    "end_user_session": ("DELETE", "users/{id}/sessions/{session_id}"),
    "list_clients": ("GET", "clients"),
    "create_client": ("POST", "clients"),
    "read_client": ("GET", "clients/{client_id}"),
    "change_client": ("PATCH", "clients/{client_id}"),
    "disable_client": ("POST", "clients/{client_id}/disable"),
    "enable_client": ("POST", "clients/{client_id}/enable"),
    "end_client_sessions": ("POST", "clients/{client_id}/end-sessions"),
    "rotate_client_secret": ("POST", "clients/{client_id}/rotate-secret"),
    "list_lockouts": ("GET", "lockouts"),
    "lift_lockout": ("POST", "lockouts/{id}/unlock"),
    "list_signing_keys": ("GET", "signing-keys"),
    "rotate_signing_key": ("POST", "signing-keys/rotate"),
    "revoke_signing_key": ("POST", "signing-keys/{kid}/revoke"),
    "list_audit_events": ("GET", "audit"),
    "list_roles": ("GET", "roles"),
    "create_role": ("POST", "roles"),
    "delete_role": ("DELETE", "roles/{name}"),
}

# Programs are generated from these names: one that was published does not change.
PUBLISHED = {
    "issue_token": ("POST", "/oauth/token"),
    "authorize_device": ("POST", "/oauth/device_authorization"),
    "revoke_token": ("POST", "/oauth/revoke"),
    "introspect_token": ("POST", "/oauth/introspect"),
    "verify_token": ("GET", "/oauth/verify"),
    "read_jwks": ("GET", "/.well-known/jwks.json"),
    "read_metadata": ("GET", "/.well-known/oauth-authorization-server"),
    "read_openapi": ("GET", "/api/openapi.json"),
    "read_profile": ("GET", "/api/v1/me"),
    "change_profile": ("PATCH", "/api/v1/me"),
    "change_password": ("POST", "/api/v1/me/password"),
    "change_email": ("POST", "/api/v1/me/email"),
    "confirm_email": ("POST", "/api/v1/confirm-email"),
    "request_password_reset": ("POST", "/api/v1/password-reset/request"),
    "confirm_password_reset": ("POST", "/api/v1/password-reset/confirm"),
    "register": ("POST", "/api/v1/register"),
    "list_sessions": ("GET", "/api/v1/sessions"),
    "end_session": ("DELETE", "/api/v1/sessions/{id}"),
    "end_other_sessions": ("DELETE", "/api/v1/sessions"),
    **{name: (method, f"/api/v1/admin/{path}") for name, (method, path) in ADMINISTRATION.items()},
    "read_liveness": ("GET", "/live"),
    "read_readiness": ("GET", "/ready"),
    "read_health": ("GET", "/health"),
    "read_api_health": ("GET", "/api/v1/health"),
}


@pytest.fixture(scope="module")
def document():
    return json.loads(json.dumps(openapi.document()))


@pytest.fixture(scope="module")
def operations(document):
    return operations_of(document)


# --- All of it ---------------------------------------------------------------------------------


@pytest.mark.django_db
def test_every_json_endpoint_is_described_and_nothing_else_is(operations):
    paths = set(paths_of(get_resolver()))

    answered = {(method, path) for path in paths - NOT_JSON for method in methods_of(path)}

    assert paths >= NOT_JSON
    assert {*operations} == answered


def test_drf_spectacular_has_no_complaint_and_the_document_is_well_formed(tmp_path):
    call_command("spectacular", file=str(tmp_path / "openapi.json"), format="openapi-json", validate=True, fail_on_warn=True)

    assert json.loads((tmp_path / "openapi.json").read_text())["openapi"].startswith("3.1.")


def test_every_code_of_a_refusal_is_told_where_it_can_come(operations):
    told = {
        code
        for operation in operations.values()
        for name, content in bodies_of(operation)
        if name >= "400" and name.isdigit() and "allOf" in content["schema"]
        for code in content["schema"]["allOf"][1]["properties"]["error"]["enum"]
    }

    assert told == {"server_error"} | {refusal.error for refusal in refusals(OAuthError) if not issubclass(refusal, AuthorizationError)}


def test_every_grant_type_has_a_request_of_its_own(document, operations):
    [content] = operations["POST", "/oauth/token"]["requestBody"]["content"].values()

    mapping = content["schema"]["discriminator"]["mapping"]

    assert {*mapping} == {*GRANT_TYPES} == {*content["examples"]}
    assert [{"$ref": name} for name in mapping.values()] == content["schema"]["oneOf"]
    for grant_type, example in content["examples"].items():
        matching = [name for name in mapping.values() if not errors_of(example["value"], {"$ref": name}, document=document)]
        assert matching == [mapping[grant_type]]


def test_every_operation_is_named_described_and_filed(document, operations):
    names = [operation["operationId"] for operation in operations.values()]

    assert len(names) == len(set(names))
    assert {tag["name"] for tag in document["tags"]} == {tag for operation in operations.values() for tag in operation["tags"]}
    for operation in operations.values():
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", operation["operationId"])
        assert operation["summary"]
        assert "security" in operation
        assert all(response["description"] for response in operation["responses"].values())


def test_a_name_that_was_published_does_not_change(operations):
    names = {operation["operationId"]: endpoint for endpoint, operation in operations.items()}

    assert names.items() >= PUBLISHED.items()


# --- Examples ----------------------------------------------------------------------------------


def test_every_body_has_an_example_and_every_example_is_of_its_schema(document, operations):
    strict = closed(document)
    contents = [(endpoint, name, content) for endpoint, operation in operations.items() for name, content in bodies_of(operation)]

    wrong = {
        (endpoint, name, key): problems
        for endpoint, name, content in contents
        for key, example in content["examples"].items()
        if (problems := errors_of(example["value"], closed(content["schema"]), document=strict))
    }

    assert len(contents) > 50
    assert all(content["examples"] for _, _, content in contents)
    assert wrong == {}


def test_an_example_that_is_wrong_would_be_noticed(document):
    reference = {"$ref": "#/components/schemas/TokenResponse"}
    answer = {"access_token": "a.b.c", "token_type": "Bearer", "expires_in": 900, "scope": "api:read"}

    assert errors_of(answer, reference, document=closed(document)) == []
    assert errors_of(answer | {"expires_in": "900"}, reference, document=closed(document)) != []
    assert errors_of(answer | {"surprise": True}, reference, document=closed(document)) != []


def test_every_example_of_a_parameter_and_a_header_is_of_its_schema(document, operations):
    described = [
        part
        for operation in operations.values()
        for part in [
            *operation.get("parameters", []),
            *(header for response in operation["responses"].values() for header in response.get("headers", {}).values()),
        ]
    ]
    examples = [
        (part["schema"], value)
        for part in described
        for value in [*([part["example"]] if "example" in part else []), *(each["value"] for each in part.get("examples", {}).values())]
    ]

    assert len(examples) > 20
    assert [problems for schema, value in examples if (problems := errors_of(value, schema, document=document))] == []


# --- What the server really answers ------------------------------------------------------------


def test_the_answers_of_the_token_endpoint_are_as_described(is_as_described, sign_in, refresh, post, robot):
    signed_in = sign_in()
    own = post({"grant_type": "client_credentials", "client_id": "robot", "client_secret": robot.secret_value})

    for answer in (
        signed_in,
        refresh(signed_in.body["refresh_token"]),
        own,
        sign_in(password="wrong"),
        sign_in(scope="beyond:measure"),
        post({"grant_type": "password"}, HTTP_AUTHORIZATION="Basic Zm9vOmJhcg=="),
        post({"grant_type": "client_credentials", "client_id": "editor"}),
        post(b"x" * 70_000),
    ):
        is_as_described("POST", "/oauth/token", answer.response)


def test_the_answers_to_a_device_are_as_described(is_as_described, alice, make_client, post):
    make_client("console", grant_types=(DEVICE_CODE,))
    asked, denied = ask(post), ask(post)
    browser = browser_of(alice)
    decide(browser, type_code(browser, denied.body["user_code"]), "deny")

    waiting = [poll(post, asked.body["device_code"]) for _ in range(2)]
    let_device_in(alice, asked.body["user_code"])
    answers = [*waiting, poll(post, denied.body["device_code"]), poll(post, asked.body["device_code"])]

    assert [answer.error for answer in answers] == ["authorization_pending", "slow_down", "access_denied", None]
    for answer in answers:
        is_as_described("POST", "/oauth/token", answer.response)
    for answer in (asked, ask(post, scope="beyond:measure"), ask(post, client_id="nobody")):
        is_as_described("POST", "/oauth/device_authorization", answer.response)


def test_the_refusal_of_a_locked_account_is_as_described(is_as_described, sign_in):
    for _ in range(5):
        sign_in(password="wrong")

    answer = sign_in()

    assert answer.error == "account_locked"
    is_as_described("POST", "/oauth/token", answer.response)


def test_the_answers_about_tokens_are_as_described(is_as_described, signed_in, post, make_client):
    guard = make_client("guard", is_public=False, grant_types=("client_credentials",), may_introspect=True)
    guard_form = {"client_id": "guard", "client_secret": guard.secret_value}
    access_token, refresh_token = signed_in.body["access_token"], signed_in.body["refresh_token"]

    active = post({"token": access_token, **guard_form}, path="/oauth/introspect")
    passed = Browser().get("/oauth/verify", HTTP_AUTHORIZATION=f"Bearer {access_token}")

    assert active.body["active"] is True
    is_as_described("POST", "/oauth/introspect", active.response)
    is_as_described("POST", "/oauth/introspect", post({"token": "x", **guard_form}, path="/oauth/introspect").response)
    is_as_described("POST", "/oauth/introspect", post({"token": "x", "client_id": "editor"}, path="/oauth/introspect").response)
    is_as_described("GET", "/oauth/verify", passed)
    is_as_described("GET", "/oauth/verify", Browser().get("/oauth/verify"))
    is_as_described("POST", "/oauth/revoke", post({"token": refresh_token, "client_id": "editor"}, path="/oauth/revoke").response)


def test_the_public_documents_and_the_probes_are_as_described(is_as_described, signing_key):
    browser = Browser()

    for path in ("/.well-known/jwks.json", "/.well-known/oauth-authorization-server", "/api/openapi.json", "/live", "/ready", "/health"):
        is_as_described("GET", path, browser.get(path))


def test_a_server_without_a_key_is_unready_as_described(is_as_described, db):
    is_as_described("GET", "/ready", Browser().get("/ready"))
    is_as_described("GET", "/.well-known/jwks.json", Browser().get("/.well-known/jwks.json"))


def test_the_answers_of_the_account_api_are_as_described(is_as_described, signed_in):
    browser = Browser(HTTP_AUTHORIZATION=f"Bearer {signed_in.body['access_token']}")

    for path in ("/api/v1/me", "/api/v1/sessions"):
        is_as_described("GET", path, browser.get(path))
        is_as_described("GET", path, Browser().get(path))
        is_as_described("GET", path, Browser().get(path, HTTP_AUTHORIZATION="Bearer forged"))
    is_as_described("DELETE", "/api/v1/sessions", browser.delete("/api/v1/sessions"))
    is_as_described("GET", "/api/v1/sessions", browser.get("/api/v1/sessions", {"cursor": "cD1ub3RoaW5n"}))


def test_the_challenges_of_the_bearer_api_are_the_ones_that_are_told(operations, signed_in):
    [told] = {json.dumps(operations["GET", "/api/v1/me"]["responses"]["401"]["headers"]["WWW-Authenticate"]["examples"])}

    without, forged = Browser().get("/api/v1/me"), Browser().get("/api/v1/me", HTTP_AUTHORIZATION="Bearer forged")

    assert json.loads(told) == {
        "invalid_token": {"value": forged.headers["WWW-Authenticate"]},
        "no_access_token": {"value": without.headers["WWW-Authenticate"]},
    }


def test_the_scope_that_is_told_is_the_scope_that_is_asked_for(operations, signed_in):
    browser = Browser(HTTP_AUTHORIZATION=f"Bearer {signed_in.body['access_token']}")

    refused = browser.delete("/api/v1/sessions")

    response = operations["DELETE", "/api/v1/sessions"]["responses"]["403"]
    assert refused.status_code == 403
    assert response["headers"]["WWW-Authenticate"]["examples"]["insufficient_scope"]["value"] == refused.headers["WWW-Authenticate"]


# --- What follows from settings ----------------------------------------------------------------


def test_version_server_and_scopes_are_those_of_this_server(document):
    flow = document["components"]["securitySchemes"]["sign_in"]["flows"]["password"]

    assert document["info"]["version"] == authserver.__version__
    assert document["servers"] == [{"url": django_settings.JWT_ISSUER}]
    assert {*flow["scopes"]} == {*django_settings.SCOPES} - scopes.NEVER_BY_PASSWORD
    assert flow["tokenUrl"] == "/oauth/token"


def test_the_version_is_the_same_wherever_it_is_written():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    image = re.findall(r'org.opencontainers.image.version="(.+)"', (ROOT / "Dockerfile").read_text(encoding="utf-8"))

    assert project["version"] == authserver.__version__
    assert image == [authserver.__version__]


def test_a_password_grant_that_is_switched_off_is_not_described(settings):
    settings.PASSWORD_GRANT = False

    described = openapi.document()

    assert "PasswordRequest" not in json.dumps(described)
    assert '"sign_in"' not in json.dumps(described)
    assert "RefreshRequest" in described["components"]["schemas"]


def test_invalid_grant_is_told_under_the_status_that_it_has(settings):
    settings.INVALID_GRANT_STATUS = 401

    responses = operations_of(openapi.document())["POST", "/oauth/token"]["responses"]

    assert "invalid_grant" in json.dumps(responses["401"])
    assert "invalid_grant" not in json.dumps(responses["400"])


# --- How it is served --------------------------------------------------------------------------


def test_anyone_may_read_the_document_from_anywhere_and_it_is_made_once(document):
    openapi.body.cache_clear()  # another test may have asked while other settings were in force
    browser = Browser()

    first, second = browser.get("/api/openapi.json"), browser.get("/api/openapi.json")

    assert first.json() == document
    assert first.headers["Content-Type"] == "application/json"
    assert first.headers["Access-Control-Allow-Origin"] == "*"
    assert first.headers["Cache-Control"] == "public, max-age=300"
    assert first.headers["ETag"] == second.headers["ETag"]
    assert openapi.body() is openapi.body()


def test_who_has_the_document_already_is_told_so():
    browser = Browser()
    etag = browser.get("/api/openapi.json").headers["ETag"]

    unchanged = browser.get("/api/openapi.json", HTTP_IF_NONE_MATCH=etag)

    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert browser.head("/api/openapi.json").content == b""


def test_the_page_takes_everything_from_its_own_origin_and_nothing_inline():
    page = Browser().get("/api/docs")
    text = page.content.decode()

    fetched = re.findall(r'(?:src|href)="([^"]+)"', text)

    assert page.headers["Content-Security-Policy"] == django_settings.CONTENT_SECURITY_POLICY
    assert "<title>The API of authserver</title>" in text
    assert [url for url in fetched if not re.match(r"/(?!/)|#content-start$", url)] == []
    assert re.findall(r"<script(?![^>]* src=)|<style| style=| on\w+=", text) == []
    static = [url.removeprefix("/static/") for url in fetched if url.startswith("/static/")]
    assert len(static) == 7
    assert [name for name in static if finders.find(name) is None] == []


# --- Tools -------------------------------------------------------------------------------------


@pytest.fixture
def is_as_described(document, operations):
    """The status is among those described, its headers are there, and the body has the members described and no others."""
    strict = closed(document)

    def check(method, path, response):
        described = operations[method, path]["responses"]
        status = str(response.status_code)
        assert status in described, (method, path, status, response.content)
        required = [name for name, header in described[status].get("headers", {}).items() if header.get("required")]
        assert [name for name in required if not response.has_header(name)] == []
        if "content" not in described[status]:
            assert response.content == b""
            return
        content = described[status]["content"][response.headers["Content-Type"]]
        assert errors_of(response.json(), closed(content["schema"]), document=strict) == [], response.content

    return check


def methods_of(path):
    """What is answered there, as the refusal of an unknown method says; HEAD goes without saying."""
    response = Browser().generic("BREW", re.sub(r"\{\w+\}", str(uuid4()), path))
    assert "Allow" in response.headers, path
    return {*response.headers["Allow"].split(", ")} - {"HEAD", "OPTIONS"}
