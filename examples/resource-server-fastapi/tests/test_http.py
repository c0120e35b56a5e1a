"""The endpoints: who is let in, and what the others are told (RFC 6750)."""

import pytest
from authserver_verifier.testing import SigningKey
from resource_server.sessions import Sessions


def test_a_bearer_is_greeted_by_the_subject_of_the_token(http, bearer):
    response = http.get("/api/v1/protected", headers=bearer(sub="alice", scope="api:write api:read"))

    assert (response.status_code, response.json()) == (200, {"message": "Hello, user alice", "scopes": ["api:read", "api:write"]})


def test_sessions_are_their_owners(http, bearer):
    made = http.post("/api/v1/sessions", headers=bearer(sub="alice"))
    assert made.status_code == 201

    assert http.get("/api/v1/sessions", headers=bearer(sub="alice")).json() == [made.json()]
    assert http.get("/api/v1/sessions", headers=bearer(sub="bob")).json() == []


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic YTpi"}], ids=["nothing", "Basic"])
def test_who_sends_no_token_is_asked_for_one_and_told_of_no_error(http, headers):
    response = http.get("/api/v1/protected", headers=headers)

    assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, 'Bearer realm="api"')
    assert response.headers["Cache-Control"] == "no-store"
    assert set(response.json()) == {"error", "error_description"}


@pytest.mark.parametrize(
    "change", [{"lifetime": -100}, {"aud": "billing"}, {"header": {"alg": "none"}}, {"header": {"typ": "JWT"}}], ids=str
)
def test_a_bad_token_is_refused(http, bearer, change):
    response = http.get("/api/v1/sessions", headers=bearer(**change))

    assert (response.status_code, response.json()["error"]) == (401, "invalid_token")
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="api", error="invalid_token"'


def test_two_tokens_are_none(http, bearer):
    token = bearer()["Authorization"]

    assert http.get("/api/v1/protected", headers=[("Authorization", token), ("Authorization", token)]).status_code == 401


def test_a_token_in_the_address_is_not_looked_at(http, issuer):
    assert http.get("/api/v1/protected", params={"access_token": issuer.mint()}).status_code == 401


@pytest.mark.parametrize(
    ("method", "scope", "missing"), [("GET", "api:write", "api:read"), ("POST", "api:read", "api:write"), ("POST", "", "api:write")]
)
def test_a_token_without_the_scope_is_told_which(http, bearer, method, scope, missing):
    response = http.request(method, "/api/v1/sessions", headers=bearer(scope=scope))

    assert (response.status_code, response.json()["error"]) == (403, "insufficient_scope")
    assert response.headers["WWW-Authenticate"] == f'Bearer realm="api", error="insufficient_scope", scope="{missing}"'


def test_without_keys_the_service_is_unavailable_and_says_when_to_come_back(http, issuer, bearer):
    issuer.answer = lambda request: request.send(503, b"")

    response = http.get("/api/v1/protected", headers=bearer())

    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert "WWW-Authenticate" not in response.headers
    assert http.get("/health").status_code == 200


def test_a_rotation_is_followed(http, issuer, bearer):
    before = bearer()
    assert http.get("/api/v1/protected", headers=before).status_code == 200
    issuer.keys.insert(0, SigningKey())

    assert [http.get("/api/v1/protected", headers=headers).status_code for headers in (bearer(), before)] == [200, 200]
    assert issuer.requests == [200, 200]


def test_the_document_says_how_to_authenticate(http):
    document = http.get("/openapi.json").json()

    assert document["components"]["securitySchemes"]["access_token"]["scheme"] == "bearer"
    protected = {path for path, methods in document["paths"].items() if any("security" in operation for operation in methods.values())}
    assert protected == {"/api/v1/sessions", "/api/v1/protected"}


def test_what_is_kept_in_memory_has_bounds():
    sessions = Sessions(per_user=3, users=2)
    made = [sessions.create("alice") for _ in range(5)]
    assert sessions.of("alice") == made[2:]

    sessions.create("bob")
    sessions.create("alice")
    sessions.create("carol")

    assert [len(sessions.of(user)) for user in ("alice", "bob", "carol")] == [3, 0, 1]
