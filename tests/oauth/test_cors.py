"""Pages of other origins: whose may ask, whose may read the answer, and what none of it costs."""

import pytest
from django.db import OperationalError
from django.forms import modelform_factory
from django.test import Client as Browser

from oauth import clients, cors, keys, origins
from oauth.client_form import ClientForm
from oauth.models import Client

EDITOR, PORTAL = "https://editor.example", "https://portal.example:8443"
ALLOWED, CREDENTIALS = "Access-Control-Allow-Origin", "Access-Control-Allow-Credentials"
FORM = modelform_factory(Client, form=ClientForm, fields=["allowed_origins"])
COVERED = (
    "/oauth/token",
    "/oauth/revoke",
    "/oauth/userinfo",
    "/oauth/device_authorization",
    "/api/v1/me",
    "/api/v1/sessions/1",
    "/api/v1/health",
)


@pytest.fixture(autouse=True)
def _production(settings):
    """Development lets every local page read everything."""
    settings.DEVELOPMENT = False


@pytest.fixture
def editor(make_client):
    made = make_client("editor").client
    Client.objects.filter(pk=made.pk).update(allowed_origins=f"{EDITOR} https://beta.editor.example")
    return Client.objects.get(pk=made.pk)


@pytest.fixture
def portal(make_client):
    """Another client, of other pages."""
    made = make_client("portal").client
    Client.objects.filter(pk=made.pk).update(allowed_origins=PORTAL)
    return made


@pytest.fixture
def preflight(db):
    def ask(origin, path="/oauth/token", method="POST"):
        return Browser().options(path, HTTP_ORIGIN=origin, HTTP_ACCESS_CONTROL_REQUEST_METHOD=method)

    return ask


# --- Preflights ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", COVERED)
def test_a_preflight_is_answered_for_an_origin_of_any_enabled_client(preflight, editor, portal, path):
    for origin in (EDITOR, PORTAL):
        response = preflight(origin, path)

        assert (response.status_code, response.content) == (204, b"")
        assert response[ALLOWED] == origin
        assert {"Authorization", "Content-Type", "Idempotency-Key"} == {*response["Access-Control-Allow-Headers"].split(", ")}
        assert {"POST", "DELETE", "PATCH", "PUT"} < {*response["Access-Control-Allow-Methods"].split(", ")}
        assert "Origin" in response["Vary"]
        assert not response.has_header(CREDENTIALS)


@pytest.mark.checklist(109)
@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "https://evil.example",
        "https://editor.example.evil.example",
        "http://editor.example",
        "https://editor.example:444",
        "https://editor.example/",
        "https://EDITOR.example",
        "https://editor.example https://beta.editor.example",
        "*",
        "",
        "http://localhost:3000",
    ],
)
def test_an_origin_that_nobody_registered_learns_nothing(preflight, editor, sign_in, origin):
    asked, answered = preflight(origin), sign_in(HTTP_ORIGIN=origin)

    assert asked.status_code == 405
    assert answered.status == 200
    for response in (asked, answered.response):
        assert not response.has_header(ALLOWED)
        assert "Origin" in response["Vary"]


@pytest.mark.parametrize("path", ["/oauth/introspect", "/oauth/verify", "/sign-in", "/admin/", "/", "/metrics"])
def test_what_is_no_business_of_apps_in_browsers_has_no_cors(preflight, editor, path):
    assert not preflight(EDITOR, path).has_header(ALLOWED)


def test_options_without_the_question_of_a_preflight_are_a_method_like_others(editor):
    response = Browser().options("/oauth/token", HTTP_ORIGIN=EDITOR)

    assert response.status_code == 405
    assert response[ALLOWED] == EDITOR


def test_a_disabled_client_has_no_origins(preflight, editor, sign_in):
    Client.objects.filter(pk=editor.pk).update(is_active=False)

    assert preflight(EDITOR).status_code == 405
    assert not sign_in(HTTP_ORIGIN=EDITOR).response.has_header(ALLOWED)


# --- Answers -------------------------------------------------------------------------------------


@pytest.mark.checklist(109)
def test_an_answer_is_for_the_origins_of_its_own_client(sign_in, portal):
    own, foreign = sign_in(HTTP_ORIGIN=EDITOR), sign_in(HTTP_ORIGIN=PORTAL)

    assert (own.status, foreign.status) == (200, 200)
    assert own.response[ALLOWED] == EDITOR
    assert own.response["Access-Control-Expose-Headers"] == "Retry-After, WWW-Authenticate, X-Request-ID"
    assert not foreign.response.has_header(ALLOWED)
    assert not own.response.has_header(CREDENTIALS)


def test_a_refusal_of_a_known_client_is_for_its_own_origins_too(sign_in, portal):
    own, foreign = sign_in(password="wrong", HTTP_ORIGIN=EDITOR), sign_in(password="wrong", HTTP_ORIGIN=PORTAL)

    assert own.error == foreign.error == "invalid_grant"
    assert own.response[ALLOWED] == EDITOR
    assert not foreign.response.has_header(ALLOWED)


def test_a_refusal_before_the_client_is_known_is_for_the_origins_of_all(post, editor, portal):
    for form in (b"x=%", {"grant_type": "password", "client_id": "nobody"}):
        assert post(form, HTTP_ORIGIN=EDITOR).response[ALLOWED] == EDITOR
        assert post(form, HTTP_ORIGIN=PORTAL).response[ALLOWED] == PORTAL
        assert not post(form, HTTP_ORIGIN="https://evil.example").response.has_header(ALLOWED)


def test_the_api_answers_the_origins_of_the_tokens_client(signed_in, portal):
    browser = Browser(HTTP_AUTHORIZATION=f"Bearer {signed_in.body['access_token']}")

    assert browser.get("/api/v1/me", HTTP_ORIGIN=EDITOR)[ALLOWED] == EDITOR
    assert browser.delete("/api/v1/sessions", HTTP_ORIGIN=EDITOR)[ALLOWED] == EDITOR  # lacks the scope
    assert not browser.get("/api/v1/me", HTTP_ORIGIN=PORTAL).has_header(ALLOWED)
    assert Browser().get("/api/v1/me", HTTP_ORIGIN=PORTAL)[ALLOWED] == PORTAL  # nobody is known


def test_a_revocation_is_read_by_its_client(post, signed_in, portal):
    form = {"token": signed_in.body["refresh_token"], "client_id": "editor"}

    assert post(form, path="/oauth/revoke", HTTP_ORIGIN=EDITOR).response[ALLOWED] == EDITOR
    assert not post(form, path="/oauth/revoke", HTTP_ORIGIN=PORTAL).response.has_header(ALLOWED)


def test_the_servers_own_setting_allows_an_origin_everywhere(sign_in, preflight, settings):
    settings.CORS_ORIGINS = frozenset({"https://console.example"})

    assert preflight("https://console.example").status_code == 204
    assert sign_in(HTTP_ORIGIN="https://console.example").response[ALLOWED] == "https://console.example"


def test_development_lets_local_pages_in(sign_in, preflight, settings):
    settings.DEVELOPMENT = True

    for origin in ("http://localhost:5173", "http://127.0.0.1:3000", "http://[::1]", "https://localhost"):
        assert preflight(origin).status_code == 204
        assert sign_in(HTTP_ORIGIN=origin).response[ALLOWED] == origin
    for origin in ("http://localhost.evil.example", "http://localhost:x", "null"):
        assert preflight(origin).status_code == 405


# --- What it costs -------------------------------------------------------------------------------


@pytest.fixture
def warm(monkeypatch, signed_in):
    for module in (clients, cors):
        monkeypatch.setattr(module, "CACHE_SECONDS", 600)
    monkeypatch.setattr(keys, "POLL_SECONDS", 600)
    cors.cache.of_any_client()


def test_on_a_warm_process_an_origin_costs_no_statement(warm, signed_in, refresh, preflight, count_statements):
    with count_statements() as statements:
        answer = refresh(signed_in.body["refresh_token"], HTTP_ORIGIN=EDITOR)
        asked = preflight(EDITOR)

    assert answer.response[ALLOWED] == asked[ALLOWED] == EDITOR
    assert len(statements) == 1


def test_many_origins_cost_one_statement_a_second(monkeypatch, editor, preflight, count_statements):
    monkeypatch.setattr(cors, "CACHE_SECONDS", 600)

    with count_statements() as statements:
        for number in range(20):
            preflight(f"https://evil{number}.example")

    assert len(statements) == 1


def test_a_request_without_an_origin_is_left_alone(sign_in):
    response = sign_in().response

    assert not response.has_header(ALLOWED)
    assert "Origin" not in response.get("Vary", "")


def test_a_database_that_is_away_loses_no_answer(monkeypatch, warm, signed_in, refresh, preflight):
    def away():
        raise OperationalError

    cors.cache.forget()
    monkeypatch.setattr(cors, "_read", away)

    asked, refused = preflight(EDITOR), refresh("x", client_id="nobody", HTTP_ORIGIN=EDITOR)

    assert asked.status_code == 503
    assert asked["Retry-After"]
    assert refused.error == "invalid_client"
    assert not refused.response.has_header(ALLOWED)


# --- What is an origin ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "https://a.example",
        "http://localhost:3000",
        "https://a.example:8443",
        "http://[::1]:5000",
        "capacitor://localhost",
        "https://127.0.0.1",
    ],
)
def test_an_origin_as_browsers_write_it_may_be_registered(make_client, text):
    client = make_client("app").client
    client.allowed_origins = f"{text} https://b.example"

    client.full_clean()

    assert origins.is_origin(text)


@pytest.mark.parametrize(
    "text",
    [
        *("*", "null", "https://", "a.example", "https://*.example", "https://a.example/", "https://a.example/path", "https://a.example?q"),
        *("https://A.example", "HTTPS://a.example", "https://a.example:443", "http://a.example:80", "https://a.example:0"),
        *(
            "https://a.example:65536",
            "https://user@a.example",
            "https://a.example#f",
            "javascript://a",
            "data://a",
            "file://a",
            "https://.a",
        ),
        *("https://a..example", "https://ä.example", "https://a.example\\", "//a.example"),
    ],
)
def test_what_is_no_origin_is_refused_by_client_and_form(make_client, text):
    client = make_client("app").client
    form = FORM({"allowed_origins": text}, instance=client)

    assert not origins.is_origin(text)
    assert "scheme, host and port" in " ".join(form.errors["allowed_origins"])


def test_the_form_takes_one_origin_per_line(make_client):
    form = FORM({"allowed_origins": " https://a.example\r\nhttps://b.example:8443 \r\n"}, instance=make_client("app").client)

    assert form.is_valid(), form.errors
    assert form.cleaned_data["allowed_origins"] == "https://a.example https://b.example:8443"
