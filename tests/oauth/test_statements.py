"""The budgets of SQL statements on a warm process, transaction control left out."""

import base64

import pytest

from oauth import clients, keys

KEY = "a-key-of-sixteen-and-more"


@pytest.fixture
def warm(monkeypatch, signed_in, robot, post):
    """Client cache and key ring are filled by one request of each client, and stay so however slow the machine is."""
    monkeypatch.setattr(keys, "POLL_SECONDS", 600)
    monkeypatch.setattr(clients, "CACHE_SECONDS", 600)
    credentials = base64.b64encode(f"robot:{robot.secret_value}".encode()).decode()
    post({"grant_type": "client_credentials"}, HTTP_AUTHORIZATION=f"Basic {credentials}")
    return {"HTTP_AUTHORIZATION": f"Basic {credentials}"}


def test_a_refresh_is_one_statement(warm, signed_in, refresh, count_statements):
    with count_statements() as statements:
        answer = refresh(signed_in.body["refresh_token"])

    assert answer.status == 200
    assert len(statements) == 1


def test_a_refresh_with_a_scope_is_two(warm, signed_in, refresh, count_statements):
    with count_statements() as statements:
        answer = refresh(signed_in.body["refresh_token"], scope="api:read")

    assert answer.status == 200
    assert len(statements) == 2


def test_a_sign_in_is_at_most_six(warm, sign_in, count_statements):
    with count_statements() as statements:
        answer = sign_in()

    assert answer.status == 200
    assert len(statements) <= 6


def test_a_token_of_the_clients_own_is_one(warm, post, count_statements):
    with count_statements() as statements:
        answer = post({"grant_type": "client_credentials"}, **warm)

    assert answer.status == 200
    assert len(statements) == 1


@pytest.mark.parametrize("path", ["/.well-known/jwks.json", "/.well-known/oauth-authorization-server", "/live"])
def test_a_public_document_is_none(warm, client, count_statements, path):
    with count_statements() as statements:
        response = client.get(path)

    assert response.status_code == 200
    assert len(statements) == 0


@pytest.mark.parametrize("path", ["/api/v1/me", "/api/v1/sessions"])
def test_a_call_of_the_api_asks_for_session_and_data(warm, signed_in, client, count_statements, path):
    with count_statements() as statements:
        response = client.get(path, HTTP_AUTHORIZATION=f"Bearer {signed_in.body['access_token']}")

    assert response.status_code == 200
    assert len(statements) <= 2
