"""A Django site with mozilla-django-oidc lets its users in by a real server, in a real browser."""

import re
import sys

import pytest

from tests import secrecy
from tests.e2e.servers import ROOT, authserver, clean_environment, run, serving
from tests.postgres import free_port

SCOPE = "openid email profile"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("no_proxy", "localhost,127.0.0.1")
        with authserver(tmp_path_factory.mktemp("authserver"), AUTH_SERVICE__JWT_ISSUER="http://localhost:{port}") as running:
            yield running


@pytest.fixture(scope="module")
def relying_party(server, tmp_path_factory):
    """Its address, on another host: cookies know no ports."""
    folder, address = tmp_path_factory.mktemp("relying-party"), f"http://127.0.0.1:{free_port()}"
    said = server.manage(
        *("create_client", "relying-party", "--name", "Relying party", "--grant-type", "authorization_code", "--scope", SCOPE),
        *("--redirect-uri", f"{address}/oidc/callback/", "--post-logout-redirect-uri", f"{address}/"),
    )
    [secret] = re.findall(r"client_secret +(\S+)", said)
    secrecy.remember("a client secret", secret)
    environment = clean_environment(
        ISSUER=server.base_url, CLIENT_ID="relying-party", CLIENT_SECRET=secret, FOLDER=str(folder), no_proxy="localhost,127.0.0.1"
    )
    start, cwd = [sys.executable, "app.py"], ROOT / "tests/browser/relying_party"
    run([*start, "migrate", "--verbosity", "0"], cwd=cwd, environment=environment)
    command = [*start, "runserver", address.removeprefix("http://"), "--noreload"]
    with serving(command, cwd=cwd, environment=environment, log=folder / "site.log", ready_url=f"{address}/"):
        yield address


@pytest.mark.spec("RP-Initiated Logout 1.0", "2", "an app signs its user out here too, and they come back to it")
def test_a_site_lets_its_user_in_and_out_by_this_server(relying_party, server, open_window):
    window = open_window()
    page = window.page
    page.goto(f"{relying_party}/")
    assert window.title == "Nobody is signed in"

    window.click("Sign in elsewhere")
    page.get_by_label("User name or e-mail").fill("user@example.com")
    page.get_by_label("Password").fill("password123")
    window.click("Sign in", exact=True)
    window.click("Allow")
    page.wait_for_url(f"{relying_party}/")
    assert window.title == "user@example.com"

    window.click("Sign out")
    page.wait_for_url(f"{relying_party}/")
    assert window.title == "Nobody is signed in"
    window.click("Sign in elsewhere")
    page.wait_for_url(f"{server.base_url}/sign-in?**")


def test_a_user_who_says_no_is_not_let_in(relying_party, open_window):
    window = open_window()
    page = window.page
    page.goto(f"{relying_party}/oidc/authenticate/")
    page.get_by_label("User name or e-mail").fill("test")
    page.get_by_label("Password").fill("test123")
    window.click("Sign in", exact=True)

    window.click("Deny")

    page.wait_for_url(f"{relying_party}/?failed")
    assert window.title == "Nobody is signed in"
