"""An issuer on loopback, and a clock that goes when it is told to."""

import pytest
from authserver_verifier.testing import LocalIssuer, SigningKey

KEY = SigningKey()


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def issuer():
    with LocalIssuer(KEY) as running:
        yield running


@pytest.fixture
def clock():
    return Clock()
