"""The service on a port of its own, and an issuer of tokens for it."""

import threading
import time

import httpx
import pytest
import uvicorn
from authserver_verifier.testing import LocalIssuer, SigningKey
from resource_server.application import create_app
from websockets.sync.client import connect

KEY = SigningKey()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def issuer():
    with LocalIssuer(KEY) as running:
        yield running


@pytest.fixture
def app(issuer):
    return create_app(issuer.verifier())


@pytest.fixture
def server(app):
    """The service, served as its page says."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, ws_max_size=65536, log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield server
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def address(server):
    return f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"


@pytest.fixture
def http(address):
    with httpx.Client(base_url=f"http://{address}", timeout=20) as client:
        yield client


@pytest.fixture
def bearer(issuer):
    """The header of a request with a token of these claims."""
    return lambda **claims: {"Authorization": f"Bearer {issuer.mint(**claims)}"}


@pytest.fixture
def open_socket(address):
    """Open a WebSocket with these headers; use it in a `with` block."""
    return lambda headers, **options: connect(
        f"ws://{address}/api/v1/ws/s1", additional_headers=headers, open_timeout=20, proxy=None, **options
    )
