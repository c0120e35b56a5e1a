"""What the gateway of `make demo` lets through, keeps and limits."""

import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import jwt
import pytest
from django.urls import get_resolver

from authserver.middleware import PROBES
from tests.e2e.calls import refresh, sign_in
from tests.e2e.gateway import access_log, bearer, browser, database, wait_for
from tests.e2e.person import Page
from tests.project.test_docs import paths_of

FORGED = {"X-Forwarded-For": "203.0.113.9", "X-Real-IP": "203.0.113.9", "Forwarded": "for=203.0.113.9", "X-Forwarded-Proto": "https"}
MORE_SESSIONS = """
    WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 60)
    INSERT INTO oauth_session SELECT {columns} FROM number, (SELECT * FROM oauth_session ORDER BY created_at DESC LIMIT 1)
"""


@pytest.fixture
def http(demo):
    with browser(demo) as client:
        yield client


# --- What is open --------------------------------------------------------------------------------


def test_every_path_of_the_server_is_behind_the_gateway(http):
    paths = {path for path in paths_of(get_resolver()) if path not in PROBES}
    asked = {re.sub(r"\{\w+\}", "x", path).replace("/api/v1/", "/api/v1/auth/") for path in paths} | {"/auth-health", "/static/shared.css"}

    answers = [http.get(path) for path in asked]

    assert len(answers) > 50
    # The server alone sends it, and the resource server owns /api/v1/.
    assert [answer.url.path for answer in answers if "Content-Security-Policy" not in answer.headers] == []
    assert [answer.url.path for answer in answers if answer.status_code >= 500] == []


@pytest.mark.parametrize("path", [*sorted(PROBES - {"/api/v1/health"}), "//metrics", "/%6detrics", "/oauth/../live", "/-/verify"])
def test_what_is_for_the_operator_is_closed(demo, path):
    done = subprocess.run(
        ["curl", "--silent", "--path-as-is", "--write-out", "%{http_code}", f"http://127.0.0.1:{demo.ports.gateway}{path}"],
        capture_output=True,
        encoding="utf-8",
        check=True,
    )

    assert done.stdout.endswith("404")
    assert "nginx" in done.stdout


def test_the_health_is_open(http):
    assert http.get("/auth-health").json() == {"status": "ok", "database": "ok", "signing_key": "ok"}


@pytest.mark.checklist(45)
@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2"])
def test_what_a_client_says_of_its_address_changes_nothing(demo, address):
    with browser(demo, address=address) as http:
        tokens = sign_in(http, **{name.replace("-", "_"): value for name, value in FORGED.items()})
        listed = http.get("/api/v1/auth/sessions", headers={"Authorization": f"Bearer {tokens['access_token']}"}).json()["results"]

    assert [session["address"] for session in listed if session["current"]] == [address]
    assert jwt.decode(tokens["access_token"], options={"verify_signature": False})["iss"] == demo.base_url


def test_the_pages_of_a_list_lead_through_the_gateway(demo, http):
    headers = bearer(http)
    with database(demo) as opened:
        columns = [column for _, column, *_ in opened.execute("PRAGMA table_info(oauth_session)")]
        opened.execute(MORE_SESSIONS.format(columns=", ".join({"id": "lower(hex(randomblob(16)))"}.get(each, each) for each in columns)))

    first = http.get("/api/v1/auth/sessions", headers=headers).json()
    second = http.get(first["next"], headers=headers)

    assert first["next"].startswith(f"{http.base_url}/api/v1/auth/sessions?")
    assert second.json()["previous"].startswith(f"{http.base_url}/api/v1/auth/sessions?")
    assert len(second.json()["results"]) >= 10


def test_the_admin_is_signed_in_to_by_its_form(demo, http):
    asked = http.get("/admin/", follow_redirects=True)
    action, form = Page(asked.text).form_with("login", "password")
    password = (demo.folder / "admin-password").read_text("utf-8").strip()

    answer = http.post(
        action or asked.url.path, data=form | {"login": "admin", "password": password}, headers={"Origin": str(http.base_url)}
    )

    assert asked.url.path == "/sign-in"
    assert answer.status_code == 302, answer.text
    assert "authserver-session" in http.cookies


# --- The key set ---------------------------------------------------------------------------------


def test_the_key_set_is_not_sent_again_to_who_has_it(http):
    answer = http.get("/.well-known/jwks.json", headers={"Origin": "https://app.example.com"})

    again = http.get("/.well-known/jwks.json", headers={"If-None-Match": answer.headers["ETag"]})

    assert (answer.headers["Cache-Control"], answer.headers["Access-Control-Allow-Origin"]) == ("public, max-age=3600", "*")
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["X-Request-ID"] != answer.headers["X-Request-ID"]


def test_while_the_server_is_away_tokens_are_verified_and_everything_else_says_so(demo, http):
    headers = bearer(http)
    known = {path: http.get(f"/.well-known/{path}").content for path in ("jwks.json", "openid-configuration")}
    demo.stop("authserver")
    try:
        wait_for(lambda: http.get("/.well-known/jwks.json").content and any(" STALE " in line for line in access_log(demo)))
        kept = {path: http.get(f"/.well-known/{path}").content for path in known}
        protected = http.get("/api/v1/protected", headers=headers)
        refused = [refresh(http, "whatever"), http.get("/api/v1/auth/me", headers=headers), http.get("/legacy/x", headers=headers)]
        page = http.get("/sign-in")
    finally:
        demo.start("authserver")
        demo.wait_until_ready()

    assert kept == known
    assert protected.status_code == 200
    assert [(each.status_code, each.json()["error"]) for each in refused] == [(503, "temporarily_unavailable")] * 3
    assert {each.headers["Retry-After"] for each in refused} == {"5"}
    assert (page.status_code, page.headers["Content-Type"]) == (503, "text/html")
    assert refresh(http, "whatever").json()["error"] == "invalid_grant"


# --- Limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/oauth/token", "/api/v1/auth/me/password"])
def test_a_body_beyond_the_limit_is_refused_in_json(http, path):
    exact = http.post(path, content=b"a=" + b"x" * 65534, headers={"Content-Type": "application/x-www-form-urlencoded"})
    beyond = http.post(path, content=b"a=" + b"x" * 65535, headers={"Content-Type": "application/x-www-form-urlencoded"})

    assert exact.status_code in {400, 401, 415}
    assert (beyond.status_code, beyond.json()["error"]) == (413, "invalid_request")
    assert beyond.headers["Cache-Control"] == "no-store"


def test_a_request_that_is_none_is_refused_in_json(http):
    answer = http.get("/oauth/token", headers={"X-Long": "x" * 40_000})

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def flood(http, path):
    """The first refusal of forms that come eight at a time."""
    deadline = time.monotonic() + 30
    with ThreadPoolExecutor(8) as pool:
        while time.monotonic() < deadline:
            for answer in pool.map(lambda _: http.post(path), range(60)):
                if answer.status_code == 429:
                    return answer
    raise AssertionError("every form was taken")


def test_a_flood_of_forms_from_one_address_is_refused_and_its_neighbours_refresh(demo):
    with browser(demo, address="127.0.0.3") as http:
        tokens = sign_in(http)
        refused, page = flood(http, "/api/v1/auth/register"), flood(http, "/sign-in")
        renewed = refresh(http, tokens["refresh_token"])
        read = http.get("/sign-in")
    with browser(demo, address="127.0.0.4") as http:
        elsewhere = http.post("/api/v1/auth/register")

    assert refused.json() == {"error": "rate_limit_exceeded", "error_description": "Too many requests. Try again later.", "retry_after": 10}
    assert (refused.headers["Retry-After"], refused.headers["Content-Type"]) == ("10", "application/json")
    assert (page.headers["Retry-After"], page.headers["Content-Type"]) == ("10", "text/html")
    assert (renewed.status_code, read.status_code) == (200, 200)
    assert elsewhere.status_code not in {429, 503}


def test_the_log_tells_no_query(demo, http):
    answer = http.get("/oauth/authorize?state=in-the-query&client_id=codelab-flutter-app", headers={"Referer": "http://x/?in-the-referer"})

    line = wait_for(lambda: next((line for line in access_log(demo) if line.endswith(answer.headers["X-Request-ID"])), None))
    assert '"GET /oauth/authorize" ' in line
    assert "in-the-" not in (demo.folder / "access.log").read_text("utf-8") + (demo.folder / "gateway.log").read_text("utf-8")
