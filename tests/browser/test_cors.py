"""An app in a browser, on an origin of its own: what Chromium lets it read, and what it keeps from others."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from oauth import cors
from oauth.models import Client
from tests.conftest import PASSWORD

CALL = """
async ([url, how]) => {
  try {
    const response = await fetch(url, how);
    return {status: response.status, wait: response.headers.get("Retry-After"), body: await response.json()};
  } catch (error) {
    return {status: 0, body: {}};
  }
}
"""


class Blank(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>An app</title>")

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def app_port() -> Iterator[int]:
    """A page under two names, which makes two origins: 127.0.0.1 is the editor's, localhost is anybody's."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Blank)
    Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


@pytest.fixture
def fetch_from(open_window, app_port, editor, alice, signing_key, settings):
    settings.DEVELOPMENT = False  # which lets every local page read
    Client.objects.filter(pk=editor.pk).update(allowed_origins=f"http://127.0.0.1:{app_port}")
    cors.cache.forget()

    def open_app(host):
        window = open_window()
        window.page.goto(f"http://{host}:{app_port}/")

        def fetch(path, **how):
            return window.page.evaluate(CALL, [f"{window.base_url}{path}", how])

        fetch.complaints = window.complaints
        return fetch

    return open_app


def form(**fields):
    body = "&".join(f"{name}={value.replace(' ', '+')}" for name, value in fields.items())
    return {"method": "POST", "body": body, "headers": {"Content-Type": "application/x-www-form-urlencoded"}}


SIGN_IN = {"grant_type": "password", "client_id": "editor", "username": "alice", "password": PASSWORD}


@pytest.mark.checklist(109)
def test_an_app_signs_in_calls_the_api_and_signs_out_from_its_own_origin(fetch_from, alice):
    fetch = fetch_from("127.0.0.1")

    signed_in = fetch("/oauth/token", **form(**SIGN_IN))
    bearer = {"Authorization": f"Bearer {signed_in['body']['access_token']}"}
    profile = fetch("/api/v1/me", headers=bearer)  # asked for by a preflight
    refused = fetch("/api/v1/me", method="PATCH", headers=bearer | {"Content-Type": "application/json"}, body='{"name": "Alice"}')
    mistaken = fetch("/oauth/token", **form(grant_type="password", client_id="nobody"))
    refreshed = fetch(
        "/oauth/token", **form(grant_type="refresh_token", client_id="editor", refresh_token=signed_in["body"]["refresh_token"])
    )
    ended = fetch("/oauth/revoke", **form(client_id="editor", token=refreshed["body"]["refresh_token"]))

    assert (signed_in["status"], profile["body"]["username"], refreshed["status"], ended["status"]) == (200, "alice", 200, 200)
    assert (refused["status"], refused["body"]["error"]) == (403, "insufficient_scope")
    assert (mistaken["status"], mistaken["body"]["error"]) == (401, "invalid_client")
    fetch.complaints[:] = [each for each in fetch.complaints if "status of 40" not in each]  # Chromium tells of refusals too


@pytest.mark.checklist(109)
def test_a_page_of_another_origin_reads_none_of_it(fetch_from, sign_in):
    fetch = fetch_from("localhost")
    token = sign_in().body["access_token"]

    answers = [fetch("/oauth/token", **form(**SIGN_IN)), fetch("/api/v1/me", headers={"Authorization": f"Bearer {token}"})]

    assert [answer["status"] for answer in answers] == [0, 0]
    assert sum("blocked by CORS policy" in each for each in fetch.complaints) == 2
    fetch.complaints.clear()


def test_the_public_documents_are_read_by_every_page(fetch_from):
    fetch = fetch_from("localhost")

    assert fetch("/.well-known/jwks.json")["body"]["keys"]
    assert fetch("/.well-known/oauth-authorization-server")["status"] == 200
