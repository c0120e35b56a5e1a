"""The examples run as their pages say, against a real server."""

import re
import subprocess
import sys

import httpx
import pytest

from tests import secrecy
from tests.e2e.person import Page
from tests.e2e.servers import ROOT, clean_environment, run, serving
from tests.postgres import free_port


@pytest.fixture(scope="module")
def web_app(own_server, tmp_path_factory):
    """The address of the app, registered by the command of its page."""
    address = f"http://localhost:{free_port()}"
    [command] = re.findall(r"manage\.py (create_client .*?)\n```", (ROOT / "examples/web-app/README.md").read_text("utf-8"), re.DOTALL)
    arguments = [argument.strip("'") for argument in re.findall(r"'[^']*'|[^\s\\]+", command.replace("http://localhost:8080", address))]
    [secret] = re.findall(r"client_secret +(\S+)", own_server.manage(*arguments))
    secrecy.remember("a client secret", secret)
    environment = clean_environment(
        AUTH_ISSUER=own_server.base_url, AUTH_CLIENT_ID="web-app", AUTH_CLIENT_SECRET=secret, no_proxy="localhost,127.0.0.1"
    )
    start = [sys.executable, "app.py", "runserver", address.removeprefix("http://"), "--noreload"]
    log = tmp_path_factory.mktemp("web-app") / "app.log"
    with serving(start, cwd=ROOT / "examples/web-app", environment=environment, log=log, ready_url=f"{address}/"):
        yield address


def test_a_user_of_the_web_app_signs_in_and_out(web_app, user):
    with httpx.Client(base_url=web_app, timeout=20) as app:
        assert 'href="/login"' in app.get("/").text
        told = user.go(app.get("/login").headers["Location"])
        assert app.get(told).headers["Location"] == "/"
        page = Page(app.get("/").text)
        assert "Hello user" in app.get("/").text

        away = app.post("/logout", data=page.form_with("csrfmiddlewaretoken")[1])

        assert user.go(away.headers["Location"]).startswith(f"{web_app}/")
        assert 'href="/login"' in app.get("/").text
        user.go(app.get("/login").headers["Location"])
        assert "/sign-in" in user.seen


def test_an_answer_that_nobody_asked_the_web_app_for_signs_nobody_in(web_app):
    with httpx.Client(base_url=web_app, timeout=20) as app:
        assert app.get("/callback?code=stolen&state=made-up").status_code == 403
        assert 'href="/login"' in app.get("/").text


def test_the_service_calls_with_one_token_of_its_own(own_server):
    [secret] = re.findall(r"shown once: (\S+)", own_server.bootstrap_output)
    environment = clean_environment(
        AUTH_ISSUER=own_server.base_url, AUTH_CLIENT_ID="codelab-internal", AUTH_CLIENT_SECRET=secret, no_proxy="localhost"
    )

    said = run([sys.executable, "examples/service/service.py"], cwd=ROOT, environment=environment)

    assert said == "Called as codelab-internal.\n" * 2


def test_a_service_whose_secret_is_wrong_does_not_start(own_server):
    environment = clean_environment(AUTH_ISSUER=own_server.base_url, AUTH_CLIENT_ID="codelab-internal", AUTH_CLIENT_SECRET="wrong")

    done = subprocess.run(
        [sys.executable, "examples/service/service.py"], cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", check=False
    )

    assert (done.returncode, "HTTP Error 401" in done.stderr) == (1, True)
