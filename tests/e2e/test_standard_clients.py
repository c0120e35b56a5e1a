"""Libraries that others wrote are given the issuer and nothing more, and work."""

import re
from functools import partial
from pathlib import Path

import pytest

from tests import node, secrecy
from tests.e2e import standard_clients
from tests.e2e.standard_clients import SIGNED_OUT_URI, App

REDIRECT_URI = "http://127.0.0.1/callback"
SCOPE = "openid profile email roles offline_access api:read"
CODE = ("--grant-type", "authorization_code", "--grant-type", "refresh_token", "--scope", SCOPE)

PYTHON = {"Authlib": standard_clients.authlib, "requests-oauthlib": standard_clients.requests_oauthlib}
NODE = {"openid-client": standard_clients.openid_client, "oauth4webapi": standard_clients.oauth4webapi}
ON_A_DEVICE = {
    "Authlib": standard_clients.authlib_on_a_device,
    "openid-client": standard_clients.openid_client_on_a_device,
    "oauth4webapi": standard_clients.oauth4webapi_on_a_device,
}


@pytest.fixture(scope="module")
def web_app(own_server):
    """One with a server of its own, that keeps a secret."""
    said = own_server.manage(
        "create_client", "portal", "--may-introspect", *CODE, "--redirect-uri", REDIRECT_URI, "--post-logout-redirect-uri", SIGNED_OUT_URI
    )
    [secret] = re.findall(r"client_secret +(\S+)", said)
    secrecy.remember("a client secret", secret)
    return App(own_server.base_url, "portal", REDIRECT_URI, secret)


@pytest.fixture(scope="module")
def native_app(own_server):
    """One in its users' hands, at the port that was free just now."""
    return App(own_server.base_url, "codelab-python-client", REDIRECT_URI.replace("127.0.0.1", "127.0.0.1:51004"))


@pytest.fixture(scope="session")
def node_folder(tmp_path_factory) -> Path:
    return node.install(tmp_path_factory.mktemp("node"))


@pytest.fixture(params=[*PYTHON, *NODE])
def library(request):
    if request.param in PYTHON:
        return PYTHON[request.param]
    return partial(NODE[request.param], folder=request.getfixturevalue("node_folder"))


@pytest.fixture(autouse=True)
def on_this_machine(monkeypatch):
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")  # requests-oauthlib asks for https otherwise, on loopback too
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")


@pytest.mark.spec("RFC 8414", "3", "a client that is given the issuer alone finds everything")
@pytest.mark.spec("OpenID Connect Discovery 1.0", "4", "a client that is given the issuer alone finds everything")
@pytest.mark.parametrize("kind", ["web_app", "native_app"])
def test_a_library_signs_a_user_in_and_out(library, kind, user, request):
    app = request.getfixturevalue(kind)

    outcome = library(app, user.go)

    claims, userinfo = outcome.claims, outcome.userinfo
    assert (claims["iss"], claims["aud"], claims["amr"], claims["acr"]) == (app.issuer, app.client_id, ["pwd"], "1")
    assert (userinfo["sub"], userinfo["preferred_username"], userinfo["roles"]) == (claims["sub"], "user", [])
    assert outcome.refreshed["refresh_token"] != outcome.tokens["refresh_token"]
    assert outcome.refusal == "invalid_grant"
    if app.client_secret:
        assert (outcome.introspected["active"], outcome.introspected["sub"]) == (True, claims["sub"])
    if outcome.left:
        assert outcome.left == f"{SIGNED_OUT_URI}?state=gone"
    if outcome.read:
        assert (outcome.read["sub"], outcome.read["client_id"]) == (claims["sub"], app.client_id)


@pytest.mark.spec("RFC 8628", "3", "a client of another's making is let in by a code")
@pytest.mark.parametrize("name", ON_A_DEVICE)
def test_a_library_signs_a_user_in_on_a_device(name, native_app, user, request):
    extra = {"folder": request.getfixturevalue("node_folder")} if name in NODE else {}

    tokens = ON_A_DEVICE[name](native_app, user.let_device_in, **extra)

    assert {"access_token", "refresh_token", "id_token"} <= tokens.keys()
    assert {*tokens["scope"].split()} == {*SCOPE.split()}
