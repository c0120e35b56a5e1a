"""One server that logs JSON at DEBUG is asked everything, well and badly: its output has every refusal, and no secret."""

import base64
import hashlib
import json
import re
import secrets
import time
from html import unescape
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import httpx
import psycopg
import pytest

from tests.accounts.smtp import code_of, mail_server
from tests.e2e.admin import admin_token
from tests.e2e.person import Page, Person
from tests.e2e.servers import BANNER
from tests.e2e.wiretap import Wiretap
from tests.staff import totp_code

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
APP, REDIRECT_URI = "test-client", "http://127.0.0.1/callback"
PASSWORD, WRONG, NEW = "password123", "a-wrong-password-of-alice", "a long walk by the sea"
MOST_ADMIN_PAGES = 30


@pytest.fixture(scope="module")
def smtp():
    with mail_server() as server:
        yield server


@pytest.fixture(scope="module")
def registration_token():
    return secrets.token_urlsafe(32)


@pytest.fixture(scope="module")
def server(start_server, smtp, registration_token):
    return start_server(
        AUTH_SERVICE__LOG_FORMAT="json",
        AUTH_SERVICE__LOG_LEVEL="DEBUG",
        AUTH_SERVICE__JWT_ISSUER="http://localhost:{port}",
        AUTH_SERVICE__EMAIL_URL=f"smtp://127.0.0.1:{smtp.port}",
        AUTH_SERVICE__REGISTRATION="open",
        AUTH_SERVICE__CLIENT_REGISTRATION_TOKEN=registration_token,
        AUTH_SERVICE__METRICS_TOKEN=secrets.token_urlsafe(32),
        AUTH_SERVICE__ENABLE_RATE_LIMITING="false",
        WEB_CONCURRENCY="1",
    )


@pytest.fixture(scope="module")
def wiretap():
    return Wiretap()


@pytest.fixture(scope="module")
def http(server, wiretap):
    with httpx.Client(base_url=server.base_url, timeout=20, event_hooks=wiretap.hooks) as client:
        yield client


def basic(client_id, secret):
    return {"Authorization": f"Basic {base64.b64encode(f'{client_id}:{secret}'.encode()).decode()}"}


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def grants_with_a_user(http):
    """The password grant and what follows from it, right and wrong. Gives an access token for the account."""
    form = {
        "grant_type": "password",
        "client_id": APP,
        "username": "user",
        "password": PASSWORD,
        "scope": "openid offline_access api:read auth:account",
    }
    tokens = http.post("/oauth/token", data=form).json()
    refresh = {"grant_type": "refresh_token", "client_id": APP, "refresh_token": tokens["refresh_token"]}
    refreshed = http.post("/oauth/token", data=refresh, headers={"Idempotency-Key": secrets.token_hex(16)}).json()
    for wrong in (
        form | {"password": WRONG},
        form | {"username": "nobody", "password": f"{WRONG}-2"},
        form | {"client_id": "nobody"},
        form | {"grant_type": tokens["refresh_token"]},
        form | {"scope": tokens["access_token"]},
        refresh,  # replayed: the session ends
        refresh | {"refresh_token": refreshed["refresh_token"]},
        refresh | {"refresh_token": tokens["refresh_token"][:-4] + "AAAA"},
        refresh | {"refresh_token": tokens["access_token"]},
    ):
        assert http.post("/oauth/token", data=wrong).status_code in {400, 401}
    http.post("/oauth/token", data=form | {tokens["access_token"]: "as a name"})
    http.post("/oauth/token", json=form)
    http.post(f"/oauth/token?{urlencode(form)}")
    http.post(
        "/oauth/token", content=urlencode(form) + "&" + urlencode(form), headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    http.post("/oauth/revoke", data={"token": tokens["refresh_token"], "client_id": "nobody"})
    return http.post("/oauth/token", data=form).json()


def grants_of_a_client(http, secret, token):
    client_id, own = "codelab-internal", {"grant_type": "client_credentials"}
    assert http.post("/oauth/token", data=own, headers=basic(client_id, secret)).status_code == 200
    assert http.post("/oauth/token", data=own | {"client_id": client_id, "client_secret": secret}).status_code == 200
    assert http.post("/oauth/token", data=own, headers=basic(client_id, "a-wrong-secret-of-a-client")).status_code == 401
    assert http.post("/oauth/token", data=own | {"client_id": client_id, "client_secret": "another-wrong-secret"}).status_code == 401
    assert http.post("/oauth/token", data=own, headers={"Authorization": "Basic not-base64-but-secret"}).status_code == 401
    assert http.post("/oauth/introspect", data={"token": token}, headers=basic(client_id, secret)).json()["active"] is True
    assert http.post("/oauth/introspect", data={"token": f"{token}x"}, headers=basic(client_id, secret)).json()["active"] is False
    assert http.post("/oauth/introspect", data={"token": token}).status_code == 401
    assert http.post("/oauth/revoke", data={"token": f"{token}y"}, headers=basic(client_id, secret)).status_code in {200, 400}


def grants_at_a_browser(server, http, wiretap):
    """Authorization code and device code; each is tried twice, and once with what is not its own."""
    person = Person(server.base_url, login="user", password=PASSWORD)
    person.browser.event_hooks = wiretap.hooks
    verifier = secrets.token_urlsafe(48)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    asked = {"response_type": "code", "client_id": APP, "redirect_uri": REDIRECT_URI, "scope": "openid api:read"}
    asked |= {
        "state": secrets.token_urlsafe(),
        "nonce": secrets.token_urlsafe(),
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    with person.browser:
        codes = [parse_qs(urlsplit(person.go(f"/oauth/authorize?{urlencode(asked)}")).query)["code"][0] for _ in range(2)]
        form = {"grant_type": "authorization_code", "client_id": APP, "redirect_uri": REDIRECT_URI, "code_verifier": verifier}
        exchanged = http.post("/oauth/token", data=form | {"code": codes[0]})
        assert http.post("/oauth/token", data=form | {"code": codes[0]}).status_code == 400
        assert http.post("/oauth/token", data=form | {"code": codes[1], "code_verifier": secrets.token_urlsafe(48)}).status_code == 400
        http.get("/oauth/logout", params={"id_token_hint": exchanged.json()["id_token"], "state": secrets.token_urlsafe()})
        person.browser.get(f"/oauth/authorize?{urlencode(asked | {'redirect_uri': 'https://evil.example/callback'})}")
        waiting = http.post("/oauth/device_authorization", data={"client_id": APP, "scope": "api:read"}).json()
        poll = {"grant_type": DEVICE_CODE, "client_id": APP, "device_code": waiting["device_code"]}
        assert http.post("/oauth/token", data=poll).json()["error"] == "authorization_pending"
        person.let_device_in(waiting["verification_uri_complete"])
        deadline = time.monotonic() + 20
        while (answer := http.post("/oauth/token", data=poll)).json().get("error") == "slow_down":
            assert time.monotonic() < deadline
            time.sleep(waiting["interval"])
        assert http.post("/oauth/token", data=poll | {"device_code": secrets.token_urlsafe(32)}).status_code == 400
    return [exchanged.json(), answer.json()], waiting["user_code"]


def bearers(http, token):
    """A token where it belongs, and where it does not."""
    assert http.get("/oauth/userinfo", headers=bearer(token)).status_code == 200
    assert http.get("/api/v1/me", headers=bearer(token)).status_code == 200
    for headers in (
        bearer(f"{token[:-6]}AAAAAA"),
        {"Authorization": f"Token {token}"},
        {"Authorization": token},
        {"X-Request-ID": token[-50:]},
    ):
        assert http.get("/api/v1/me", headers=headers).status_code in {400, 401}
    for path in (
        f"/oauth/{token}",
        f"/{token}",
        f"/api/v1/sessions/{token}",
        f"/account/sessions/{token}/end",
        f"/confirm-email?code={token}",
    ):
        http.get(path, headers={"Accept": "text/html", "User-Agent": token[:200], "Referer": f"http://localhost/?access_token={token}"})
        http.delete(path, headers=bearer(token))
    http.get(f"/api/v1/me?access_token={token}")
    http.get("/oauth/verify", headers=bearer(f"{token}x"))
    http.request("GET", "/", headers={"Host": f"{token[:60]}.example"})
    http.get("/metrics", headers=bearer(token))


def accounts(http, token, smtp):
    """Passwords and codes of the account's own API and pages."""
    http.post("/api/v1/me/password", json={"current_password": WRONG, "new_password": NEW}, headers=bearer(token))
    http.post("/api/v1/me/password", json={"current_password": PASSWORD, "new_password": PASSWORD * 20}, headers=bearer(token))
    http.post(
        "/api/v1/me/password",
        content=f'{{"current_password": "{PASSWORD}", ',
        headers={"Content-Type": "application/json", **bearer(token)},
    )
    http.post("/api/v1/me/email", json={"current_password": PASSWORD, "email": "new@example.com"}, headers=bearer(token))
    http.post("/api/v1/register", json={"username": "carol", "email": "carol@example.com", "password": NEW})
    http.post("/api/v1/password-reset/request", json={"email": "test@example.com"})
    code = code_of(mail_to(smtp, "test@example.com"))
    assert http.post("/api/v1/password-reset/confirm", json={"token": code, "new_password": "short"}).status_code == 400
    assert http.post("/api/v1/password-reset/confirm", json={"token": code, "new_password": f"{NEW} again"}).status_code == 204
    assert http.post("/api/v1/password-reset/confirm", json={"token": code, "new_password": NEW}).status_code == 400
    http.get(f"/password-reset/confirm?code={code}")
    return [code, *(code_of(mail_to(smtp, to)) for to in ("new@example.com", "carol@example.com"))]


def mail_to(smtp, address):
    deadline = time.monotonic() + 20
    while not (found := [mail for mail in smtp.mails if mail["To"] == address]):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found[-1]


def pages_of_staff(server, wiretap, password):
    """A browser that gets its second factor, then every page of the admin that a link leads to, and forms, right and wrong."""
    with httpx.Client(base_url=server.base_url, follow_redirects=True, timeout=20, event_hooks=wiretap.hooks) as browser:
        submit(browser, "/sign-in", login="admin", password=f"{password}-wrong")
        submit(browser, "/sign-in", login="admin", password=password)
        submit(browser, "/account/security/authenticator", code="000000")
        page = browser.get("/account/security/authenticator")
        seed = re.search(r'id="totp-secret"[^>]*>\s*(\w+)', page.text)[1]
        wiretap.note("the seed of an app", seed)
        assert "recovery codes" in submit(browser, page, code=totp_code(seed)).text
        browser.post("/account/password", data={"csrfmiddlewaretoken": "of somebody else's", "password": password})
        seen, ahead = set(), ["/admin/"]
        while ahead and len(seen) < MOST_ADMIN_PAGES:
            path = ahead.pop(0)
            page = browser.get(path)
            assert page.status_code == 200, path
            seen.add(path)
            links = {urljoin(path, unescape(link)) for link in re.findall(r'href="([^"#]+)"', page.text)}
            ahead += sorted(
                link for link in links if link.startswith("/admin/") and link not in seen and link not in ahead and "_popup" not in link
            )
        add = "/admin/accounts/user/add/"
        submit(browser, add, with_field="password1", username="dora", usable_password="true", password1=NEW, password2=NEW)
        submit(browser, add, with_field="password1", username="dora", usable_password="true", password1=NEW, password2=WRONG)
        return seen


def submit(browser, page, *, with_field="csrfmiddlewaretoken", **form):
    """Fill in the form of a page, or of what is at an address, that has these fields."""
    page = browser.get(page) if isinstance(page, str) else page
    action, fields = Page(page.text).form_with(*{with_field, *form} - {"usable_password"}) or pytest.fail(f"{page.url} has no such form")
    return browser.post(urljoin(str(page.url), action), data=fields | form, headers={"Origin": str(browser.base_url).rstrip("/")})


def administration(server, http, registration_token):
    """Secrets that are shown once, by the API and by registration."""
    token = admin_token(server)
    client = {"client_id": "billing", "client_type": "confidential", "grant_types": ["client_credentials"], "allowed_scopes": "api:read"}
    made = http.post("/api/v1/admin/clients", json=client | {"reason": "bills"}, headers=bearer(token))
    assert (made.status_code, len(made.json()["client_secret"]) > 20) == (201, True)
    rotated = http.post("/api/v1/admin/clients/billing/rotate-secret", json={"reason": "leaked"}, headers=bearer(token))
    assert rotated.status_code == 200, rotated.text
    http.post("/api/v1/admin/clients", json=client, headers=bearer(f"{token}x"))
    software = {"client_name": "Reading room", "redirect_uris": ["https://reading.example.com/callback"]}
    assert http.post("/oauth/register", json=software, headers=bearer(registration_token)).status_code == 201
    assert http.post("/oauth/register", json=software, headers=bearer(f"{registration_token}x")).status_code == 401


def bug(server, http):
    """A bug, as far as a server can be brought to one from outside: the statements fail, and their errors quote what they can."""
    url = server.environment["AUTH_SERVICE__DB_URL"]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER TABLE accounts_user RENAME COLUMN username TO gone")
        form = {"grant_type": "password", "client_id": APP, "username": "user", "password": PASSWORD}
        failed = http.post("/oauth/token", data=form)
        connection.execute("ALTER TABLE accounts_user RENAME COLUMN gone TO username")
    assert failed.status_code == 500
    return failed.json()["error_id"]


@pytest.mark.checklist(31, 102)
def test_no_secret_of_any_grant_page_or_failure_stands_in_the_log(server, http, wiretap, smtp, registration_token, tmp_path):
    [client_secret] = re.findall(r"shown once: (\S+)", server.bootstrap_output)
    admin_password = (server.folder / "admin-password").read_text(encoding="utf-8").strip()

    tokens = grants_with_a_user(http)
    grants_of_a_client(http, client_secret, tokens["access_token"])
    others, user_code = grants_at_a_browser(server, http, wiretap)
    bearers(http, tokens["access_token"])
    codes = accounts(http, tokens["access_token"], smtp)
    admin_pages = pages_of_staff(server, wiretap, admin_password)
    administration(server, http, registration_token)
    error_id_of_bug = bug(server, http)

    for each in (tokens, *others):
        assert each["access_token"]
    output = BANNER.sub("", server.output())
    assert wiretap.leaks(output, tmp_path) == []
    assert [code for code in (*codes, user_code, user_code.replace("-", "")) if code in output] == []
    # And the search knew what to look for: every kind of secret was on the wire.
    assert {"Authorization", "a cookie", "an Idempotency-Key", "shown on a page", "the seed of an app"} <= wiretap.kinds
    assert {
        "password",
        "client_secret",
        "access_token",
        "refresh_token",
        "id_token",
        "code",
        "code_verifier",
        "device_code",
    } <= wiretap.kinds
    assert {"state", "nonce", "csrfmiddlewaretoken", "token", "current_password", "new_password"} <= wiretap.kinds
    assert len(wiretap.ledger) > 100, len(wiretap.ledger)
    assert len(admin_pages) > 20
    # Every line is one JSON object, and each refusal is found under the two ids of its answer.
    lines = [json.loads(line) for line in output.splitlines() if line.strip()]
    assert all({"at", "level", "logger", "message"} <= line.keys() for line in lines)
    logged = {line["error_id"]: line for line in lines if "error_id" in line}
    assert {error_id: logged[error_id].get("request_id") for error_id in wiretap.refused} == wiretap.refused
    assert len(wiretap.refused) > 30
    refused = [line for line in lines if line["message"] == "refused"]
    assert {name for line in refused for name in {"error", "reason", "status", "error_id", "request_id"} - line.keys()} == set()
    assert "traceback" in logged[error_id_of_bug]
    assert wiretap.statuses >= {200, 201, 302, 400, 401, 403, 404, 500}
