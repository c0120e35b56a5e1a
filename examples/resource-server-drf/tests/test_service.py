"""The endpoints: who is let in, and what the others are told (RFC 6750)."""

import pytest
from authserver_verifier.testing import SigningKey


def test_the_service_needs_no_database_and_passes_djangos_checks():
    from django.conf import settings
    from django.core.management import call_command

    assert settings.DATABASES == {} or settings.DATABASES["default"]["ENGINE"] == "django.db.backends.dummy"
    call_command("check", fail_level="WARNING")


def test_a_bearer_is_greeted_by_the_subject_of_the_token(http, bearer):
    response = http.get("/api/v1/protected", headers=bearer(sub="alice", scope="api:write api:read"))

    assert (response.status_code, response.json()) == (200, {"message": "Hello, user alice", "scopes": ["api:read", "api:write"]})


def test_sessions_are_their_owners(http, bearer):
    made = http.post("/api/v1/sessions", headers=bearer(sub="alice"))
    assert made.status_code == 201

    assert http.get("/api/v1/sessions", headers=bearer(sub="alice")).json() == [made.json()]
    assert http.get("/api/v1/sessions", headers=bearer(sub="bob")).json() == []


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic YTpi"}], ids=["nothing", "Basic"])
@pytest.mark.parametrize("path", ["protected", "sessions"])
def test_who_sends_no_token_is_asked_for_one_and_told_of_no_error(http, headers, path):
    response = http.get(f"/api/v1/{path}", headers=headers)

    assert (response.status_code, response["WWW-Authenticate"]) == (401, 'Bearer realm="api"')
    assert response["Cache-Control"] == "no-store"
    assert set(response.json()) == {"error", "error_description"}


@pytest.mark.parametrize(
    "change", [{"lifetime": -100}, {"aud": "billing"}, {"header": {"alg": "none"}}, {"header": {"typ": "JWT"}}], ids=str
)
@pytest.mark.parametrize("path", ["protected", "sessions"])
def test_a_bad_token_is_refused(http, bearer, change, path):
    response = http.get(f"/api/v1/{path}", headers=bearer(**change))

    assert (response.status_code, response.json()["error"]) == (401, "invalid_token")
    assert response["WWW-Authenticate"] == 'Bearer realm="api", error="invalid_token"'


def test_two_tokens_are_none(http, issuer):
    token = f"Bearer {issuer.mint()}"

    assert http.get("/api/v1/protected", headers={"Authorization": f"{token},{token}"}).status_code == 401  # as WSGI joins them


@pytest.mark.parametrize(
    ("method", "scope", "missing"), [("get", "api:write", "api:read"), ("post", "api:read", "api:write"), ("post", "", "api:write")]
)
def test_a_token_without_the_scope_is_told_which(http, bearer, method, scope, missing):
    response = getattr(http, method)("/api/v1/sessions", headers=bearer(scope=scope))

    assert (response.status_code, response.json()["error"]) == (403, "insufficient_scope")
    assert response["WWW-Authenticate"] == f'Bearer realm="api", error="insufficient_scope", scope="{missing}"'


def test_a_method_that_is_not_there_is_not_there(http, bearer):
    assert http.put("/api/v1/sessions", headers=bearer()).status_code == 405
    assert http.put("/api/v1/sessions").status_code == 401


def test_a_view_that_names_no_scope_opens_to_nobody(bearer):
    from django.test import RequestFactory
    from drf_resource_server.permissions import HasScope
    from rest_framework.response import Response
    from rest_framework.views import APIView

    class Forgotten(APIView):
        def get(self, request):
            return Response("open")

    class Named(Forgotten):
        permission_classes = (HasScope("api:read"),)

    request = RequestFactory().get("/", headers=bearer(scope="api:read"))
    poor = RequestFactory().get("/", headers=bearer(scope="api:write"))

    assert Forgotten.as_view()(request).status_code == 403
    assert [Named.as_view()(each).status_code for each in (request, poor)] == [200, 403]


def test_without_keys_the_service_is_unavailable_and_says_when_to_come_back(http, issuer, bearer):
    issuer.answer = lambda request: request.send(503, b"")

    response = http.get("/api/v1/protected", headers=bearer())

    assert (response.status_code, response["Retry-After"], response.json()["error"]) == (503, "1", "temporarily_unavailable")
    assert "WWW-Authenticate" not in response
    assert http.get("/health").status_code == 200


def test_a_rotation_is_followed(http, issuer, bearer):
    before = bearer()
    assert http.get("/api/v1/protected", headers=before).status_code == 200
    issuer.keys.insert(0, SigningKey())

    assert [http.get("/api/v1/protected", headers=headers).status_code for headers in (bearer(), before)] == [200, 200]
    assert issuer.requests == [200, 200]


def test_what_is_kept_in_memory_has_bounds():
    from drf_resource_server.sessions import Sessions

    sessions = Sessions(per_user=3, users=2)
    made = [sessions.create("alice") for _ in range(5)]
    assert sessions.of("alice") == made[2:]

    sessions.create("bob")
    sessions.create("alice")
    sessions.create("carol")

    assert [len(sessions.of(user)) for user in ("alice", "bob", "carol")] == [3, 0, 1]
