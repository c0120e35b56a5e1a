"""A client's own tokens."""

import pytest


@pytest.fixture
def ask(post, robot):
    return lambda **form: post({"grant_type": "client_credentials", "client_id": "robot", "client_secret": robot.secret_value} | form)


@pytest.mark.spec("RFC 6749", "4.4.3", "a refresh token SHOULD NOT be included")
def test_a_client_gets_an_access_token_of_its_own_and_no_refresh_token(ask, claims_of):
    answer = ask()

    claims = claims_of(answer)
    assert "refresh_token" not in answer.body
    assert (claims["sub"], claims["client_id"]) == ("robot", "robot")
    assert claims.keys().isdisjoint({"sid", "roles", "auth_time", "amr"})


def test_its_scope_is_bounded_by_the_clients(ask):
    assert ask(scope="api:read").body["scope"] == "api:read"
    assert ask(scope="admin").error == "invalid_scope"


@pytest.mark.checklist(25)
def test_a_client_without_the_grant_gets_none(post, editor):
    assert post({"grant_type": "client_credentials", "client_id": "editor"}).error == "unauthorized_client"


def test_such_a_token_opens_nothing_of_the_account_api(ask, client):
    response = client.get("/api/v1/me", HTTP_AUTHORIZATION=f"Bearer {ask().body['access_token']}")

    assert response.status_code == 403
    assert response.json()["error"] == "insufficient_scope"
