"""RFC 8414: exactly what is on."""

import pytest


@pytest.fixture
def metadata(client, signing_key):
    return lambda **headers: client.get("/.well-known/oauth-authorization-server", **headers)


@pytest.mark.checklist(112)
@pytest.mark.spec("RFC 8414", "2", "authorization server metadata")
def test_the_document_lists_what_is_on_and_nothing_else(metadata):
    assert metadata().json() == {
        "issuer": "http://localhost:8003",
        "token_endpoint": "http://localhost:8003/oauth/token",
        "jwks_uri": "http://localhost:8003/.well-known/jwks.json",
        "access_token_signing_alg_values_supported": ["RS256"],
        "grant_types_supported": [
            "password",
            "refresh_token",
            "authorization_code",
            "client_credentials",
            "urn:ietf:params:oauth:grant-type:device_code",
        ],
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        "introspection_endpoint": "http://localhost:8003/oauth/introspect",
        "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "revocation_endpoint": "http://localhost:8003/oauth/revoke",
        "revocation_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        "device_authorization_endpoint": "http://localhost:8003/oauth/device_authorization",
        "scopes_supported": [
            "api:read",
            "api:write",
            "auth:account",
            "auth:admin",
            "email",
            "offline_access",
            "openid",
            "profile",
            "roles",
        ],
    }


@pytest.mark.checklist(57)
def test_a_grant_that_is_off_is_absent(metadata, settings):
    settings.PASSWORD_GRANT = False

    assert "password" not in metadata().json()["grant_types_supported"]


@pytest.mark.checklist(112)
@pytest.mark.spec("RFC 8414", "3.3", "the issuer MUST be identical to the one the URL was made from")
@pytest.mark.parametrize("issuer", ["https://auth.example.com", "https://auth.example.com/", "https://example.com/auth"])
def test_the_issuer_is_said_as_it_is_configured_and_every_url_begins_with_it(metadata, settings, issuer):
    settings.JWT_ISSUER = issuer

    document = metadata().json()

    assert document["issuer"] == issuer
    urls = {name: url for name, url in document.items() if name.endswith(("_endpoint", "_uri"))}
    assert set(urls) == {"token_endpoint", "introspection_endpoint", "revocation_endpoint", "device_authorization_endpoint", "jwks_uri"}
    assert all(url.startswith(f"{issuer.rstrip('/')}/") and "//" not in url[8:] for url in urls.values())


@pytest.mark.checklist(112)
def test_every_endpoint_of_the_document_is_there_and_asks_for_one_of_its_methods(metadata, client, editor):
    document = metadata().json()

    for name in ("token", "introspection", "revocation"):
        path = document[f"{name}_endpoint"].removeprefix(document["issuer"])
        form = "grant_type=refresh_token&refresh_token=x&token=x&client_id=editor"
        answer = client.generic("POST", path, form.encode(), content_type="application/x-www-form-urlencoded")
        takes_public_clients = answer.json().get("error") != "invalid_client"
        assert ("none" in document[f"{name}_endpoint_auth_methods_supported"]) == takes_public_clients


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
