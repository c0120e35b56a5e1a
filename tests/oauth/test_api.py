"""The JSON API: whose it is, what it shows, and refusals as RFC 6750 has them."""

import base64

import pytest

from accounts.models import User
from oauth import sessions
from oauth.models import Client, Session

RESOURCE_METADATA = 'resource_metadata="http://localhost:8003/.well-known/oauth-protected-resource"'


@pytest.fixture
def get(client, signed_in):
    """GET with alice's token, or with the header the test gives."""

    def call(path, query=None, *, authorization=None, token=signed_in, **headers):
        value = f"Bearer {token.body['access_token']}" if authorization is None else authorization
        return client.get(path, query, HTTP_AUTHORIZATION=value, **headers)

    return call


def test_me_is_the_profile_of_the_tokens_user(get, alice):
    User.objects.filter(pk=alice.pk).update(name="Alice Liddell")

    assert get("/api/v1/me").json() == {
        "id": str(alice.pk),
        "username": "alice",
        "email": "alice@example.com",
        "name": "Alice Liddell",
        "roles": ["author", "reviewer"],
        "second_factor": False,
    }


def test_sessions_are_the_users_own_live_ones_newest_first(get, sign_in, make_user, session_of, signed_in):
    make_user("bob")
    sign_in("bob")
    revoked = sign_in()
    sessions.revoke(session_of(revoked).pk, reason="test")
    newest = sign_in()

    body = get("/api/v1/sessions").json()

    assert (body["next"], body["previous"]) == (None, None)
    assert [row["id"] for row in body["results"]] == [str(session_of(newest).pk), str(session_of(signed_in).pk)]
    assert [row["current"] for row in body["results"]] == [False, True]
    row = body["results"][1]
    assert set(row) == {"id", "client", "client_name", "created_at", "last_used_at", "address", "user_agent", "current"}
    assert (row["client"], row["client_name"], row["address"]) == ("editor", "Editor", "127.0.0.1")


def test_a_long_list_comes_in_pages(get, sign_in, monkeypatch):
    from oauth.api import NewestFirst

    monkeypatch.setattr(NewestFirst, "page_size", 2)
    for _ in range(2):
        sign_in()

    first = get("/api/v1/sessions").json()
    second = get(first["next"]).json()

    assert [len(first["results"]), len(second["results"])] == [2, 1]
    assert second["next"] is None
    assert get(second["previous"]).json()["results"] == first["results"]
    assert not {row["id"] for row in first["results"]} & {row["id"] for row in second["results"]}


@pytest.mark.checklist(86)
@pytest.mark.spec("RFC 6750", "3", "no authentication information: no error code")
@pytest.mark.spec("RFC 9728", "5.1", "resource_metadata in the challenge")
@pytest.mark.parametrize("headers", [{}, {"HTTP_AUTHORIZATION": "Basic YTpi"}])
def test_without_a_token_the_challenge_has_no_error_code(client, db, headers):
    response = client.get("/api/v1/me", **headers)

    assert response.status_code == 401
    assert response["WWW-Authenticate"] == f'Bearer realm="authserver", {RESOURCE_METADATA}'
    assert response["Cache-Control"] == "no-store"


@pytest.mark.checklist(83, 86)
@pytest.mark.spec("RFC 6750", "3.1", "invalid_token")
@pytest.mark.parametrize("value", ["x", "", "a.b.c", "é", "x y"])
def test_what_is_no_token_of_ours_is_an_invalid_token(get, value):
    response = get("/api/v1/me", authorization=f"Bearer {value}")

    assert response.status_code == 401
    assert response["WWW-Authenticate"] == f'Bearer realm="authserver", error="invalid_token", {RESOURCE_METADATA}'
    assert response.json()["error"] == "invalid_token"
    assert response.json()["error_id"]


@pytest.mark.checklist(72)
def test_a_refresh_token_is_no_access_token(get, signed_in):
    assert get("/api/v1/me", authorization=f"Bearer {signed_in.body['refresh_token']}").status_code == 401


@pytest.mark.checklist(86)
def test_a_token_in_the_query_string_is_refused(client, signed_in):
    response = client.get(f"/api/v1/me?access_token={signed_in.body['access_token']}")

    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


def test_a_token_without_the_scope_is_told_which_one_it_lacks(get, sign_in):
    response = get("/api/v1/me", token=sign_in(scope="api:write"))

    assert (response.status_code, response.json()["error"]) == (403, "insufficient_scope")
    assert 'scope="api:read"' in response["WWW-Authenticate"]


def test_an_expired_token_is_refused_after_the_skew(get, later):
    later(seconds=958)
    assert get("/api/v1/me").status_code == 200
    later(seconds=3)

    assert get("/api/v1/me").status_code == 401


@pytest.mark.checklist(59, 68)
@pytest.mark.parametrize(
    "kill",
    [
        lambda: sessions.revoke(Session.objects.get().pk, reason="test"),
        lambda: User.objects.update(is_active=False),
        lambda: User.objects.update(session_epoch=9),
        lambda: Client.objects.update(is_active=False),
        lambda: User.objects.all().delete(),
    ],
    ids=["revoked", "user disabled", "epoch raised", "client disabled", "user deleted"],
)
def test_a_token_whose_session_ended_is_refused_at_once(get, kill):
    kill()

    assert get("/api/v1/me").status_code == 401


def test_a_token_for_another_audience_is_refused(get, sign_in):
    from oauth import clients

    Client.objects.update(audience="billing-api")
    clients.cache.forget()

    assert get("/api/v1/me", token=sign_in()).status_code == 401


def test_other_methods_are_refused_in_json(client, signed_in):
    response = client.post("/api/v1/me", HTTP_AUTHORIZATION=f"Bearer {signed_in.body['access_token']}")

    assert (response.status_code, response.json()["error"]) == (405, "invalid_request")
    assert "GET" in response["Allow"]


@pytest.mark.parametrize(
    "cursor",
    [
        "nonsense",
        *(
            base64.b64encode(decoded.encode()).decode()
            for decoded in (
                "p=foo",
                "r=1&p=foo",
                "p=",
                "p=2026-01-31",
                "p=2026-01-31T12:00:00",
                "p=2026-02-30T12:00:00Z",
                "p=0001-01-01T00:00:00%2B23:59",
                "p=9999-12-31T23:59:59-23:59",
                "o=-1",
                "r=x",
            )
        ),
    ],
)
def test_a_page_that_does_not_exist_is_refused_in_json(get, cursor):
    response = get("/api/v1/sessions", {"cursor": cursor})

    assert response.status_code == 404
    assert response.json()["error"] == "not_found"


def test_the_answer_is_json_whatever_is_accepted(get):
    response = get("/api/v1/me", HTTP_ACCEPT="text/html")

    assert response.status_code == 200
    assert response["Content-Type"] == "application/json"
    assert response["Cache-Control"] == "no-store"


@pytest.mark.parametrize("scopes", [{}, {"POST": "api:read"}], ids=["none", "for another method"])
def test_a_view_that_names_no_scope_opens_to_nobody(get, monkeypatch, scopes):
    from accounts.api import Profile

    monkeypatch.setattr(Profile, "required_scopes", scopes)

    response = get("/api/v1/me")

    assert (response.status_code, response.json()["error"]) == (403, "insufficient_scope")
    assert "scope=" not in response["WWW-Authenticate"]
