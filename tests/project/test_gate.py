"""What every request passes: host, scheme, proxies; and what every answer carries."""

import ipaddress

import pytest

from tests.conftest import PASSWORD

PATHS = ["/", "/live", "/health", "/oauth/token", "/.well-known/jwks.json", "/api/v1/me", "/nothing", "/admin/login/"]


@pytest.mark.checklist(108)
@pytest.mark.parametrize("path", PATHS)
def test_every_answer_carries_the_security_headers(client, signing_key, path):
    response = client.get(path)

    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["X-Frame-Options"] == "DENY"
    assert response["Referrer-Policy"] == ("same-origin" if response["Content-Type"].startswith("text/html") else "no-referrer")
    assert response["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "frame-ancestors 'none'" in response["Content-Security-Policy"]
    assert "unsafe" not in response["Content-Security-Policy"]
    assert int(response["Content-Length"]) == len(response.content)


@pytest.mark.checklist(82)
@pytest.mark.parametrize("path", ["/oauth/token", "/.well-known/jwks.json", "/admin/", "/"])
def test_a_foreign_host_is_refused_in_json(client, db, path):
    response = client.get(path, HTTP_HOST="evil.example")

    assert response.status_code == 400
    assert response.json()["error"] == "invalid_request"
    assert response["X-Frame-Options"] == "DENY"


@pytest.mark.checklist(113)
@pytest.mark.parametrize("path", ["/live", "/ready", "/health"])
def test_probes_are_answered_whatever_host_and_scheme(client, signing_key, settings, path):
    settings.REQUIRE_HTTPS = True

    response = client.get(path, HTTP_HOST="10.0.0.7:8003")

    assert response.status_code == 200
    assert response.json()["status"] == "ok"


@pytest.mark.checklist(95, 113)
def test_readiness_says_what_is_missing(client, db):
    response = client.get("/ready")

    assert response.status_code == 503
    assert response.json() == {"status": "unavailable", "database": "ok", "signing_key": "missing"}
    assert client.get("/live").status_code == 200


@pytest.mark.checklist(107)
def test_plain_http_is_refused_for_machines_and_redirected_for_people(client, post, settings):
    settings.REQUIRE_HTTPS = True

    refused = post({"grant_type": "password"})
    read = client.get("/.well-known/jwks.json")
    page = client.get("/admin/login/?next=/admin/")

    assert (refused.status, refused.error) == (400, "invalid_request")
    assert "HTTPS" in refused.body["error_description"]
    assert read.status_code == 400
    assert (page.status_code, page["Location"]) == (301, "https://testserver/admin/login/?next=/admin/")


@pytest.mark.checklist(107)
def test_over_https_everything_is_answered(client, signing_key, settings):
    settings.REQUIRE_HTTPS = True

    assert client.get("/.well-known/jwks.json", secure=True).status_code == 200


@pytest.mark.checklist(45, 107)
def test_only_a_trusted_proxy_says_that_it_was_https_and_from_where(client, signing_key, settings):
    settings.REQUIRE_HTTPS = True
    headers = {"HTTP_X_FORWARDED_PROTO": "https", "REMOTE_ADDR": "10.0.0.7"}

    assert client.get("/.well-known/jwks.json", **headers).status_code == 400
    settings.TRUSTED_PROXIES = (ipaddress.ip_network("10.0.0.0/8"),)
    assert client.get("/.well-known/jwks.json", **headers).status_code == 200


@pytest.mark.checklist(45)
def test_the_address_that_is_kept_is_the_one_the_trusted_proxy_saw(sign_in, settings):
    from oauth.models import Session

    settings.TRUSTED_PROXIES = (ipaddress.ip_network("10.0.0.0/8"),)
    sign_in(REMOTE_ADDR="10.0.0.7", HTTP_X_FORWARDED_FOR="1.1.1.1, 198.51.100.7, 10.0.0.9")
    assert Session.objects.latest("created_at").address == "198.51.100.7"

    settings.TRUSTED_PROXIES = ()
    sign_in(REMOTE_ADDR="203.0.113.5", HTTP_X_FORWARDED_FOR="1.1.1.1")
    assert Session.objects.latest("created_at").address == "203.0.113.5"


def test_what_is_known_already_is_answered_without_a_length_of_its_own(client, signing_key):
    etag = client.get("/.well-known/jwks.json")["ETag"]

    response = client.get("/.well-known/jwks.json", HTTP_IF_NONE_MATCH=etag)

    assert response.status_code == 304
    assert not response.has_header("Content-Length")


def test_the_landing_page_names_what_is_on(client, db):
    page = client.get("/").content.decode()

    assert "client_credentials" in page
    assert "/admin/" in page


@pytest.mark.checklist(109)
@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:3000"])
def test_no_origin_is_let_in_unasked_but_to_the_public_documents(post, client, editor, alice, settings, origin):
    settings.DEVELOPMENT = False  # which lets local pages in
    token = post({"grant_type": "password", "username": "alice", "password": PASSWORD, "client_id": "editor"}, HTTP_ORIGIN=origin)
    preflight = client.options("/oauth/token", HTTP_ORIGIN=origin, HTTP_ACCESS_CONTROL_REQUEST_METHOD="POST")
    own_data = client.get("/api/v1/me", HTTP_ORIGIN=origin)

    for response in (token.response, preflight, own_data):
        assert not [name for name in response.headers if name.lower().startswith("access-control-")]
    for path in ("/.well-known/jwks.json", "/.well-known/oauth-authorization-server"):
        public = client.get(path, HTTP_ORIGIN=origin)
        assert public["Access-Control-Allow-Origin"] == "*"
        assert not public.has_header("Access-Control-Allow-Credentials")
