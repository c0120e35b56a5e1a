"""A server to ask, a clock to set, and either client behind the same few calls."""

import asyncio
import threading
import time
from contextlib import ExitStack

import httpx
import pytest
from authserver_client import AsyncAuthClient, AuthClient, session
from played_server import PlayedServer


@pytest.fixture
def server():
    played = PlayedServer()
    yield played
    played.close()


@pytest.fixture(autouse=True)
def no_proxy_no_certificates_and_short_pauses(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path_factory.getbasetemp()))  # nothing here is HTTPS, and to load them takes its time
    monkeypatch.setattr(session, "PAUSES_SECONDS", (0.01, 0.01, 0.01))


class Clock:
    """Both clocks of the package. They go on by themselves, and as far as they are told to."""

    monotonic_ahead = 0.0
    wall_ahead = 0.0

    def monotonic(self):
        return time.monotonic() + self.monotonic_ahead

    def time(self):
        return time.time() + self.wall_ahead

    def sleep(self, seconds):
        time.sleep(seconds)

    def pass_by(self, seconds):
        self.monotonic_ahead += seconds
        self.wall_ahead += seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    for module in ("tokens", "session"):
        monkeypatch.setattr(f"authserver_client.{module}.time", clock)
    return clock


class OfThreads:
    """AuthClient, as it is."""

    def __init__(self, url, *, client_id="editor", **options):
        self.client = AuthClient(url, client_id, **options)
        self.close = self.client.close
        for name in ("sign_in", "access_token", "refresh", "sign_out"):
            setattr(self, name, getattr(self.client, name))

    def call(self, method, url, **options):
        with httpx.Client(auth=self.client.auth) as api:
            return api.request(method, url, **options)


class OfCoroutines:
    """AsyncAuthClient on one event loop, asked from outside of it."""

    def __init__(self, url, *, client_id="editor", **options):
        self.runner = asyncio.Runner()
        self.client = AsyncAuthClient(url, client_id, **options)
        for name in ("sign_in", "access_token", "refresh", "sign_out"):
            setattr(self, name, self._asking(getattr(self.client, name)))

    def _asking(self, method):
        return lambda *arguments, **options: self.runner.run(method(*arguments, **options))

    def call(self, method, url, **options):
        async def ask():
            async with httpx.AsyncClient(auth=self.client.auth) as api:
                return await api.request(method, url, **options)

        return self.runner.run(ask())

    def close(self):
        self.runner.run(self.client.aclose())
        self.runner.close()


@pytest.fixture(params=[OfThreads, OfCoroutines])
def connect(request, server):
    """Make a client of this server; `connect(url=…)` of another one."""
    with ExitStack() as connected:

        def make(url=server.url, **options):
            client = request.param(url, **options)
            connected.callback(client.close)
            return client

        yield make


@pytest.fixture
def signed_in(connect, server):
    """Alice, by a client of her own."""
    client = connect()
    client.sign_in("alice", server.password)
    return client


@pytest.fixture
def release():
    """An event for which something at the server waits; it comes at the latest when the test ends."""
    event = threading.Event()
    yield event
    event.set()
