"""Software that registers itself (RFC 7591)."""

import json

import pytest
from django.test import Client as Browser

from accounts.models import AuditEvent
from oauth.models import Client
from tests import secrecy

TOKEN = "an-initial-access-token-of-this-test-0123456789"
GOOD = {"redirect_uris": ["https://app.example/cb"], "client_name": "An app"}


@pytest.fixture(autouse=True)
def _is_on(settings):
    settings.CLIENT_REGISTRATION_TOKEN = TOKEN


@pytest.fixture
def register(signing_key):
    def send(metadata, *, token=TOKEN, content_type="application/json"):
        headers = {} if token is None else {"HTTP_AUTHORIZATION": f"Bearer {token}"}
        body = metadata if isinstance(metadata, str) else json.dumps(metadata)
        response = Browser().generic("POST", "/oauth/register", body, content_type=content_type, **headers)
        secrecy.remember("a client's secret", response.json().get("client_secret"))
        return response

    return send


@pytest.mark.spec("RFC 7591", "3.2.1", "client information response")
def test_an_app_is_registered_and_gets_its_secret_once(register, post):
    response = register(GOOD | {"grant_types": ["authorization_code", "client_credentials"], "scope": "openid api:read"})

    answer = response.json()
    assert response.status_code == 201
    assert response["Cache-Control"] == "no-store"
    assert answer["client_secret_expires_at"] == 0
    assert (answer["grant_types"], answer["scope"]) == (["authorization_code", "client_credentials"], "api:read openid")
    client = Client.objects.get(client_id=answer["client_id"])
    assert (client.name, client.redirect_uris, client.skip_authorization, client.needs_pkce) == (
        "An app",
        "https://app.example/cb",
        False,
        True,
    )
    assert AuditEvent.objects.get(event="client:registration:created").detail == {"reason": "dynamic registration"}
    form = {"grant_type": "client_credentials", "client_id": answer["client_id"], "client_secret": answer["client_secret"]}
    assert post(form | {"scope": "api:read"}).status == 200


@pytest.mark.spec("RFC 7591", "2", "defaults of what is left out")
def test_what_is_left_out_has_its_default(register):
    answer = register({"redirect_uris": ["http://127.0.0.1/cb"], "token_endpoint_auth_method": "none"}).json()

    assert (answer["grant_types"], answer["response_types"]) == (["authorization_code"], ["code"])
    assert answer["scope"] == "api:read api:write email offline_access openid profile roles"
    assert "client_secret" not in answer
    assert Client.objects.get(client_id=answer["client_id"]).is_public


@pytest.mark.spec("RFC 7591", "3.2.2", "client registration errors")
@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"redirect_uris": []}, "invalid_redirect_uri"),
        ({"redirect_uris": ["http://app.example/cb"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://app.example/cb#x"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["javascript:alert(1)"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["codelab://callback"]}, "invalid_redirect_uri"),
        ({"redirect_uris": "https://app.example/cb"}, "invalid_redirect_uri"),
        ({"redirect_uris": [1]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://app.example/cb"] * 21}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://app.example/" + "x" * 500]}, "invalid_redirect_uri"),
        ({"post_logout_redirect_uris": ["http://evil.example/"]}, "invalid_redirect_uri"),
        ({"grant_types": ["password"]}, "invalid_client_metadata"),
        ({"grant_types": []}, "invalid_client_metadata"),
        ({"grant_types": [["authorization_code"]]}, "invalid_client_metadata"),
        ({"grant_types": ["client_credentials"], "token_endpoint_auth_method": "none"}, "invalid_client_metadata"),
        ({"response_types": ["token"]}, "invalid_client_metadata"),
        ({"token_endpoint_auth_method": "private_key_jwt"}, "invalid_client_metadata"),
        ({"token_endpoint_auth_method": {}}, "invalid_client_metadata"),
        ({"scope": "auth:admin"}, "invalid_client_metadata"),
        ({"scope": "auth:account"}, "invalid_client_metadata"),
        ({"scope": 'a"b'}, "invalid_client_metadata"),
        ({"scope": ["openid"]}, "invalid_client_metadata"),
        ({"client_name": "a\nb"}, "invalid_client_metadata"),
        ({"client_name": "x" * 101}, "invalid_client_metadata"),
    ],
)
def test_what_may_not_be_registered_is_refused(register, change, error):
    response = register(GOOD | change)

    assert (response.status_code, response.json()["error"]) == (400, error)
    assert not Client.objects.exists()


def test_only_who_has_the_token_registers(register, db):
    assert register(GOOD, token=None).status_code == 401
    assert register(GOOD, token="another").json()["error"] == "invalid_token"
    assert register(GOOD, token="ü").status_code == 401
    assert not Client.objects.exists()


def test_what_is_no_json_is_refused(register):
    assert register("{").json()["error"] == "invalid_request"
    assert register("[]").json()["error"] == "invalid_request"
    assert register('{"scope": "openid", "scope": "email"}').json()["error"] == "invalid_request"
    assert register(GOOD, content_type="text/plain").json()["error"] == "invalid_request"
    assert Browser().get("/oauth/register").status_code == 405


def test_it_is_off_unless_it_is_switched_on(register, client, settings):
    assert client.get("/.well-known/openid-configuration").json()["registration_endpoint"] == "http://localhost:8003/oauth/register"
    settings.CLIENT_REGISTRATION_TOKEN = ""

    assert register(GOOD, token="").json()["error"] == "not_found"
    assert "registration_endpoint" not in client.get("/.well-known/openid-configuration").json()
