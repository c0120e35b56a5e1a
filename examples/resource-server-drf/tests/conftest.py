"""An issuer of tokens, and the service set up for it, asked through Django's own test client."""

import os

import django
import pytest
from authserver_verifier.testing import LocalIssuer

ISSUER = LocalIssuer()
os.environ |= {
    "AUTH_ISSUER": ISSUER.url,
    "AUTH_AUDIENCE": "codelab-api",
    "AUTH_JWKS_URL": "",
    "DJANGO_SETTINGS_MODULE": "drf_resource_server.settings",
    "no_proxy": "127.0.0.1",
}
django.setup()


@pytest.fixture(scope="session")
def running_issuer():
    with ISSUER:
        yield ISSUER


@pytest.fixture
def issuer(running_issuer, monkeypatch):
    """With a verifier that knows none of its keys yet."""
    from drf_resource_server import authentication

    monkeypatch.setattr(authentication, "ACCESS_TOKEN_VERIFIER", running_issuer.verifier())
    running_issuer.requests.clear()
    before = running_issuer.keys.copy(), running_issuer.answer
    yield running_issuer
    running_issuer.keys, running_issuer.answer = before


@pytest.fixture
def bearer(issuer):
    """The header of a request with a token of these claims."""
    return lambda **claims: {"Authorization": f"Bearer {issuer.mint(**claims)}"}


@pytest.fixture
def http(issuer):
    from django.test import Client

    return Client(raise_request_exception=True)
