"""RFC 8414: exactly what is on."""

import jwt
import pytest


@pytest.fixture
def metadata(client, signing_key):
    return lambda **headers: client.get("/.well-known/oauth-authorization-server", **headers)


@pytest.mark.checklist(112)
@pytest.mark.spec("RFC 8414", "2", "authorization server metadata")
@pytest.mark.spec("OpenID Connect Discovery 1.0", "3", "provider metadata")
@pytest.mark.parametrize("name", ["oauth-authorization-server", "openid-configuration"])
def test_the_document_lists_what_is_on_and_nothing_else(client, signing_key, name):
    with_a_secret, issuer = ["client_secret_basic", "client_secret_post"], "http://localhost:8003"

    assert client.get(f"/.well-known/{name}").json() == {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/oauth/authorize",
        "token_endpoint": f"{issuer}/oauth/token",
        "jwks_uri": f"{issuer}/.well-known/jwks.json",
        "userinfo_endpoint": f"{issuer}/oauth/userinfo",
        "end_session_endpoint": f"{issuer}/oauth/logout",
        "access_token_signing_alg_values_supported": ["RS256"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "subject_types_supported": ["public"],
        "grant_types_supported": [
            "password",
            "refresh_token",
            "authorization_code",
            "client_credentials",
            "urn:ietf:params:oauth:grant-type:device_code",
        ],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "token_endpoint_auth_methods_supported": [*with_a_secret, "none"],
        "introspection_endpoint": f"{issuer}/oauth/introspect",
        "introspection_endpoint_auth_methods_supported": with_a_secret,
        "revocation_endpoint": f"{issuer}/oauth/revoke",
        "revocation_endpoint_auth_methods_supported": [*with_a_secret, "none"],
        "device_authorization_endpoint": f"{issuer}/oauth/device_authorization",
        "scopes_supported": sorted(
            ["api:read", "api:write", "auth:account", "auth:admin", "email", "offline_access", "openid", "profile", "roles"]
        ),
        "claims_supported": [
            *("iss", "sub", "aud", "azp", "exp", "iat", "auth_time", "nonce", "acr", "amr", "at_hash", "sid"),
            *("name", "preferred_username", "email", "roles"),
        ],
        "claim_types_supported": ["normal"],
        "acr_values_supported": ["1", "2"],
        "claims_parameter_supported": False,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
        "ui_locales_supported": ["en", "ru"],
        "service_documentation": f"{issuer}/api/docs",
    }


@pytest.mark.spec("RFC 9728", "2", "protected resource metadata")
def test_our_own_api_says_where_its_tokens_come_from(client, signing_key):
    response = client.get("/.well-known/oauth-protected-resource")

    assert response.json() == {
        "resource": "http://localhost:8003",
        "authorization_servers": ["http://localhost:8003"],
        "jwks_uri": "http://localhost:8003/.well-known/jwks.json",
        "scopes_supported": ["api:read", "auth:account", "auth:admin"],
        "bearer_methods_supported": ["header"],
        "resource_documentation": "http://localhost:8003/api/docs",
    }
    assert response["Access-Control-Allow-Origin"] == "*"


@pytest.mark.spec("RFC 9728", "3", "resource names what a token is asked for")
def test_a_token_for_our_own_api_can_be_asked_for_by_that_name(post, robot):
    form = {"grant_type": "client_credentials", "client_id": "robot", "client_secret": robot.secret_value}

    answer = post(form | {"resource": "http://localhost:8003"})

    assert jwt.decode(answer.body["access_token"], options={"verify_signature": False})["aud"] == "codelab-api"


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
    assert len(urls) == 8
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
