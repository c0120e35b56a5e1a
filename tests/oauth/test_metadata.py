"""RFC 8414: exactly what is on."""

import pytest


@pytest.fixture
def metadata(client, db):
    return lambda **headers: client.get("/.well-known/oauth-authorization-server", **headers)


@pytest.mark.checklist(112)
@pytest.mark.spec("RFC 8414", "2", "authorization server metadata")
def test_the_document_lists_what_is_on_and_nothing_else(metadata):
    assert metadata().json() == {
        "issuer": "http://localhost:8003",
        "token_endpoint": "http://localhost:8003/oauth/token",
        "jwks_uri": "http://localhost:8003/.well-known/jwks.json",
        "grant_types_supported": ["password", "refresh_token", "client_credentials"],
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        "scopes_supported": ["api:read", "api:write", "auth:account"],
    }


@pytest.mark.checklist(57)
def test_a_grant_that_is_off_is_absent(metadata, settings):
    settings.PASSWORD_GRANT = False

    assert "password" not in metadata().json()["grant_types_supported"]


@pytest.mark.checklist(82)
def test_nothing_of_it_comes_from_the_request(metadata, settings):
    settings.ALLOWED_HOSTS = ["*"]
    plain = metadata().content

    assert metadata(HTTP_HOST="evil.example", HTTP_X_FORWARDED_HOST="evil.example", HTTP_X_FORWARDED_PROTO="https").content == plain


def test_it_may_be_cached_and_read_from_any_origin(metadata):
    response = metadata()

    assert response["Access-Control-Allow-Origin"] == "*"
    assert response["Cache-Control"] == "public, max-age=3600"
    assert metadata(HTTP_IF_NONE_MATCH=response["ETag"]).status_code == 304
