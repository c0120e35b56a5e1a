"""The budgets of SQL statements on a warm process, transaction control left out."""

import base64

import pytest
from django.db import connection

from oauth import clients, keys, refresh_tokens

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


def test_a_refresh_token_is_read_once(warm, signed_in, refresh, monkeypatch):
    read, decode = [], refresh_tokens.decode
    monkeypatch.setattr(refresh_tokens, "decode", lambda value, **kwargs: read.append(value) or decode(value, **kwargs))

    answer = refresh(signed_in.body["refresh_token"])

    assert answer.status == 200
    assert read == [signed_in.body["refresh_token"]]


def test_a_refresh_with_a_scope_is_two(warm, signed_in, refresh, count_statements):
    with count_statements() as statements:
        answer = refresh(signed_in.body["refresh_token"], scope="api:read")

    assert answer.status == 200
    assert len(statements) == 2


@pytest.mark.parametrize("address", ["192.0.2.7", "192.0.2.8"], ids=["from where somebody signed in before", "from elsewhere"])
def test_a_sign_in_is_three_statements_or_four(warm, sign_in, count_statements, address):
    assert sign_in(REMOTE_ADDR="192.0.2.7").status == 200
    with count_statements() as statements:
        answer = sign_in(REMOTE_ADDR=address)

    assert answer.status == 200
    on_sqlite = {"192.0.2.7": 6, "192.0.2.8": 8}
    assert len(statements) == ({"192.0.2.7": 3, "192.0.2.8": 4} if connection.vendor == "postgresql" else on_sqlite)[address]


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite takes the steps one by one, in a transaction")
def test_a_sign_in_from_a_known_source_takes_no_transaction(warm, sign_in, monkeypatch):
    assert sign_in().status == 200
    begun = []
    monkeypatch.setattr(connection, "set_autocommit", lambda *args, **kwargs: begun.append(args))

    assert sign_in().status == 200
    assert begun == []


def test_a_token_of_the_clients_own_is_one(warm, post, count_statements):
    with count_statements() as statements:
        answer = post({"grant_type": "client_credentials"}, **warm)

    assert answer.status == 200
    assert len(statements) == 1


@pytest.fixture
def tokens(warm, signed_in, post):
    """An access token of each kind."""
    own = post({"grant_type": "client_credentials"}, **warm)
    return {"user's": signed_in.body["access_token"], "client's own": own.body["access_token"]}


@pytest.fixture
def warm_service(make_client, post, warm):
    """A client that may introspect, in the cache."""
    made = make_client("service", is_public=False, may_introspect=True)
    form = {"client_id": "service", "client_secret": made.secret_value}
    assert post({"token": "x"} | form, path="/oauth/introspect").status == 200
    return form


@pytest.mark.parametrize("kind", ["user's", "client's own"])
def test_introspection_of_an_access_token_is_one(warm_service, tokens, post, count_statements, kind):
    with count_statements() as statements:
        answer = post({"token": tokens[kind]} | warm_service, path="/oauth/introspect")

    assert answer.body["active"] is True
    assert len(statements) == 1


def test_introspection_of_a_refresh_token_is_one(warm_service, sign_in, post, count_statements):
    token = sign_in(**warm_service).body["refresh_token"]

    with count_statements() as statements:
        answer = post({"token": token} | warm_service, path="/oauth/introspect")

    assert answer.body["active"] is True
    assert len(statements) == 1


def test_introspection_of_what_is_no_token_of_ours_is_none(warm_service, post, count_statements):
    with count_statements() as statements:
        for token in ("x", "a.b.c", "A" * 52):
            assert post({"token": token} | warm_service, path="/oauth/introspect").body == {"active": False}

    assert len(statements) == 0


@pytest.mark.parametrize("kind", ["user's", "client's own"])
def test_a_proxys_question_is_one(tokens, client, count_statements, kind):
    with count_statements() as statements:
        response = client.get("/oauth/verify", HTTP_AUTHORIZATION=f"Bearer {tokens[kind]}")

    assert response.status_code == 204
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
