"""docs/operations.md from nothing to production: its settings are pasted, its nginx configuration is served, and what it says holds."""

import json
import os
import secrets
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from tests.container.operations import paste_by_hand
from tests.e2e.nginx import configuration, make_certificate, need, nginx
from tests.e2e.servers import ROOT, clean_environment, run, server_command, serving
from tests.postgres import free_port, postgres

HOST = "auth.example.com"
PASSWORD = "correct horse battery"
FORGED = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "http", "X-Real-IP": "203.0.113.9", "X-Request-ID": "forged-request-id"}


@dataclass(frozen=True)
class Site:
    """A production server, and nginx in front of it."""

    folder: Path
    environment: dict[str, str]
    server_port: int
    plain_port: int
    tls_port: int

    def browser(self, *, address: str = "127.0.0.1", tls: bool = True, host: str = HOST) -> httpx.Client:
        """Asks nginx from this address of this machine. The certificate is verified for the name of the server."""
        trusted = ssl.create_default_context(cafile=self.folder / "fullchain.pem")
        transport = httpx.HTTPTransport(local_address=address, verify=trusted)
        port, scheme = (self.tls_port, "https") if tls else (self.plain_port, "http")
        client = httpx.Client(base_url=f"{scheme}://127.0.0.1:{port}", transport=transport, headers={"Host": host}, timeout=20)
        client.event_hooks = {"request": [lambda request: request.extensions.update(sni_hostname=HOST)]}
        return client

    def configuration(self, *, log: str) -> str:
        return configuration(self.folder, server_port=self.server_port, plain_port=self.plain_port, tls_port=self.tls_port, log=log)

    def manage(self, *words: str) -> str:
        return run([sys.executable, "manage.py", *words], cwd=ROOT, environment=self.environment)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    need("nginx", "openssl")
    folder = tmp_path_factory.mktemp("production")
    paste_by_hand(folder)
    make_certificate(folder, host=HOST)
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        patch.setenv("no_proxy", "localhost,127.0.0.1")  # httpx would ask a developer's proxy for them
        url = stack.enter_context(postgres()) if os.environ.get("TEST_DB_URL") else f"sqlite:///{folder}/auth.db"
        server_port = free_port()
        (folder / "secrets/db-url").write_text(url, encoding="utf-8")
        environment = clean_environment(
            AUTH_SERVICE__ENV_FILE=str(folder / ".env"),
            AUTH_SERVICE__METRICS_TOKEN=secrets.token_urlsafe(48),
            PORT=str(server_port),
            AUTH_SERVICE__DRAIN_SECONDS="0",  # nobody balances the load here, and the end would take five seconds longer
            WEB_CONCURRENCY="2",
        )
        made = Site(folder, environment, server_port, plain_port=free_port(), tls_port=free_port())
        made.manage("migrate", "--verbosity", "0")
        made.manage("bootstrap")
        made.manage("shell", "-c", f"from accounts.models import User; User.objects.create_user('alice', '', {PASSWORD!r})")
        command = server_command()
        ready_url = f"http://127.0.0.1:{server_port}/ready"
        stack.enter_context(serving(command, cwd=ROOT, environment=environment, log=folder / "server.log", ready_url=ready_url))
        stack.enter_context(nginx(folder / "nginx", made.configuration(log="access.log"), plain_port=made.plain_port))
        yield made


def test_tokens_are_given_and_refreshed_over_tls(site: Site) -> None:
    with site.browser() as browser:
        signed_in = sign_in(browser)
        refreshed = browser.post(
            "/oauth/token",
            data={"grant_type": "refresh_token", "client_id": "codelab-flutter-app", "refresh_token": signed_in.json()["refresh_token"]},
        )

    assert signed_in.status_code == 200, signed_in.text
    assert refreshed.status_code == 200, refreshed.text
    assert refreshed.headers["Strict-Transport-Security"].startswith("max-age=")
    assert refreshed.headers["Cache-Control"] == "no-store"


@pytest.mark.checklist(45)
@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2"])  # that of the trusted proxy, and one that is nobody's
def test_the_address_on_record_is_the_one_that_nginx_saw_whatever_the_client_says_of_itself(site: Site, address: str) -> None:
    with site.browser(address=address) as browser:
        answer = sign_in(browser, **FORGED)

    assert answer.status_code == 200, answer.text
    assert last_event(site) == {"event": "user:sign_in:succeeded", "address": address}


def test_the_doctor_finds_all_of_it_well_but_the_certificate_that_ends_tomorrow(site: Site) -> None:
    environment = site.environment | {"SSL_CERT_FILE": str(site.folder / "fullchain.pem")}

    told = run([sys.executable, "manage.py", "shell", "-c", DOCTOR % (site.tls_port, site.plain_port)], cwd=ROOT, environment=environment)

    findings = [line for line in told.splitlines() if line.startswith(("ok ", "warn ", "fail "))]
    assert [line.partition(":")[0] for line in findings] == [
        "ok issuer",
        "ok key set",
        "fail https",  # the certificate
        "ok https",  # Strict-Transport-Security
        "ok plain http",
        "ok proxy",
    ]
    assert "The certificate is good for 1 days more" in findings[2]
    assert "answered with 400" in findings[4]


# The name of the server leads to nginx on this machine, and its ports to those of the test.
DOCTOR = """
import socket
from oauth.doctor import outside

connect, ports = socket.create_connection, {443: %d, 80: %d}
socket.create_connection = lambda address, *others, **named: connect(("127.0.0.1", ports[address[1]]), *others, **named)
for check in (outside.issuer, outside.key_set, outside.https, outside.plain_http, outside.proxy):
    for finding in check():
        print(f"{finding.level} {finding.check}: {finding.found}")
"""


@pytest.mark.checklist(107)
def test_plain_http_is_refused_for_programs_and_redirected_for_people_whatever_the_client_says_of_itself(site: Site) -> None:
    with site.browser(tls=False) as browser:
        refused = sign_in(browser, **FORGED | {"X-Forwarded-Proto": "https"})
        page = browser.get("/admin/login/")

    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")
    assert (page.status_code, page.headers["Location"]) == (301, f"https://{HOST}/admin/login/")


def test_the_form_of_the_admin_is_accepted_over_tls(site: Site) -> None:
    with site.browser() as browser:
        form = browser.get("/sign-in")
        csrf_token = form.text.split('name="csrfmiddlewaretoken" value="')[1].split('"')[0]
        fields = {"login": "alice", "password": "not hers", "csrfmiddlewaretoken": csrf_token}
        cookies = "; ".join(f"{name}={value}" for name, value in form.cookies.items())
        answer = browser.post("/sign-in", data=fields, headers={"Origin": f"https://{HOST}", "Cookie": cookies})

    assert form.status_code == 200
    assert all(cookie.startswith("__Host-") for cookie in form.cookies)
    assert answer.status_code == 200  # the form again; a forged one would be refused with 403
    assert "csrfmiddlewaretoken" in answer.text


@pytest.mark.checklist(82)
def test_another_host_is_refused_over_tls(site: Site) -> None:
    with site.browser(host="evil.example") as browser:
        answer = browser.get("/.well-known/jwks.json")

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


@pytest.mark.checklist(113)
def test_the_metrics_are_not_for_the_public_even_with_the_token(site: Site) -> None:
    bearer = {"Authorization": f"Bearer {site.environment['AUTH_SERVICE__METRICS_TOKEN']}"}

    with site.browser() as browser:
        assert browser.get("/metrics", headers=bearer).status_code == 404
    assert httpx.get(f"http://127.0.0.1:{site.server_port}/metrics", headers=bearer).status_code == 200


def test_the_logs_of_nginx_and_of_the_server_name_a_request_alike_and_without_its_query(site: Site) -> None:
    with site.browser() as browser:
        answer = browser.get("/oauth/token?password=in-the-query", headers=FORGED)
    request_id = answer.headers["X-Request-ID"]

    assert request_id != FORGED["X-Request-ID"]
    line = last_line(site.folder / "access.log", ending=f" {request_id}")
    assert '"GET /oauth/token" 405' in line
    logged = [json.loads(line) for line in (site.folder / "server.log").read_text("utf-8").splitlines() if request_id in line]
    assert [line["message"] for line in logged] == ["refused"]
    assert "in-the-query" not in line + json.dumps(logged)


def test_a_post_that_may_have_arrived_is_not_sent_to_another_server(site: Site) -> None:
    other = replace(site, plain_port=free_port(), tls_port=free_port())
    events = count_events(site)
    with dying_server() as (dying_port, received):
        alone = f"server 127.0.0.1:{site.server_port};"
        both = f"server 127.0.0.1:{dying_port} max_fails=0;\n    server 127.0.0.1:{site.server_port} backup;"
        text = other.configuration(log="two-servers.log")
        with nginx(site.folder / "two-servers", text.replace(alone, both), plain_port=other.plain_port), other.browser() as browser:
            posted = sign_in(browser)
            read = browser.get("/live")

    assert received == [b"GET", b"POST", b"GET"]  # the first one asks whether nginx is there
    assert (posted.status_code, posted.json()["error"]) == (503, "temporarily_unavailable")
    assert posted.headers["Retry-After"] == "5"
    assert count_events(site) == events
    assert read.status_code == 200


# --- What the tests need -------------------------------------------------------------------------


def sign_in(browser: httpx.Client, **headers: str) -> httpx.Response:
    form = {"grant_type": "password", "client_id": "codelab-flutter-app", "username": "alice", "password": PASSWORD}
    return browser.post("/oauth/token", data=form, headers=headers)


def last_event(site: Site) -> dict[str, str]:
    columns = "'event', 'address'"
    code = f"import json; from accounts.models import AuditEvent as E; print(json.dumps(E.objects.order_by('-pk').values({columns})[0]))"
    last: dict[str, str] = json.loads(site.manage("shell", "-v", "0", "-c", code))
    return last


def last_line(log: Path, *, ending: str) -> str:
    """nginx writes it when the answer is on its way already."""
    deadline = time.monotonic() + 20
    while not (lines := log.read_text("utf-8").splitlines()) or not lines[-1].endswith(ending):
        assert time.monotonic() < deadline, lines
        time.sleep(0.02)
    return lines[-1]


def count_events(site: Site) -> int:
    return int(site.manage("shell", "-v", "0", "-c", "from accounts.models import AuditEvent; print(AuditEvent.objects.count())"))


@contextmanager
def dying_server() -> Iterator[tuple[int, list[bytes]]]:
    """Takes a request and closes the connection without an answer. Gives its port, and the methods that it was sent."""
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def die() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    received.append(connection.recv(65536).partition(b" ")[0])

        thread = threading.Thread(target=die)
        thread.start()
        yield listener.getsockname()[1], received
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
