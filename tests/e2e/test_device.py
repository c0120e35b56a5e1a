"""The example's command line is signed in by a person at a browser: a real server, a real process, over HTTP."""

import re
import subprocess
import sys

import httpx
import pytest

from tests import secrecy
from tests.e2e.servers import ROOT, clean_environment
from tests.staff import totp_code

CLI = ROOT / "examples/cli-device/login.py"


@pytest.fixture(scope="module")
def own_server(start_server):
    """One that calls itself by the address under which it is reached: clients are given that alone."""
    return start_server(AUTH_SERVICE__JWT_ISSUER="http://localhost:{port}")


@pytest.fixture
def start_cli(own_server):
    """Start the command line; gives the process, and what it says of where to go."""
    started = []

    def start():
        command = [sys.executable, str(CLI), own_server.base_url]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, env=clean_environment(no_proxy="localhost"), encoding="utf-8")
        started.append(process)
        line = process.stdout.readline()
        uri, user_code = re.fullmatch(r"Open (\S+) and enter the code (\S+)\n", line).groups()
        secrecy.remember("a user code", user_code)
        return process, uri, user_code

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def person(own_server):
    """The admin of the demo data at their browser, with an app for the second factor."""
    password = (own_server.folder / "admin-password").read_text(encoding="utf-8").strip()
    with httpx.Client(base_url=own_server.base_url, follow_redirects=True, timeout=20) as browser:
        send(browser, "/sign-in", login="admin", password=password)
        page = browser.get("/account/security/authenticator")
        seed = re.search(r'id="totp-secret"[^>]*>\s*(\w+)', page.text)[1]
        secrecy.remember("the seed of an authenticator app", seed)
        assert "recovery codes" in send(browser, "/account/security/authenticator", page=page, code=totp_code(seed)).text
        yield browser


def send(browser, path, *, page=None, **form):
    """Fill in the form of a page as a person does."""
    text = (page or browser.get(path)).text
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', text)[1]
    return browser.post(
        path.partition("?")[0], data={"csrfmiddlewaretoken": token, **form}, headers={"Origin": str(browser.base_url).rstrip("/")}
    )


def decide(browser, uri, user_code, decision):
    assert uri == f"{str(browser.base_url).rstrip('/')}/oauth/device"
    shown = send(browser, f"/oauth/device?user_code={user_code}", user_code=user_code)
    assert "CodeLab Python client" in shown.text
    assert "cli-device/1" in shown.text
    value = re.search(r'name="shown" value="([^"]+)"', shown.text)[1]
    return send(browser, "/oauth/device", page=shown, shown=value, decision=decision)


@pytest.mark.checklist(118)
@pytest.mark.spec("RFC 8628", "1", "a device is given the issuer alone, and let in by a person elsewhere")
def test_a_command_line_is_let_in(start_cli, person):
    process, uri, user_code = start_cli()

    assert decide(person, uri, user_code, "approve").status_code == 200

    said, _ = process.communicate(timeout=60)
    assert (process.returncode, "Signed in as admin." in said) == (0, True)


@pytest.mark.checklist(118)
def test_a_command_line_that_is_turned_away_says_so(start_cli, person):
    process, uri, user_code = start_cli()

    assert decide(person, uri, user_code, "deny").status_code == 200

    process.communicate(timeout=60)
    assert process.returncode == 1
