"""No secret in what is printed, logged or raised."""

import logging
import traceback

import pytest
from authserver_client import AuthError, FileStore, MemoryStore
from played_server import LOST, refused


@pytest.fixture
def secrets(server):
    """Those that exist by now, and the password and the client's secret."""
    return lambda: {server.password, "the client's secret", server.live, *server.good}


def assert_none_of(secrets, text):
    assert text
    assert [secret for secret in secrets if secret in text] == []


def test_nothing_that_is_printed_holds_a_secret(connect, server, secrets, tmp_path):
    store = MemoryStore()
    client = connect(store=store, client_secret="the client's secret")
    client.sign_in("alice", server.password)

    held = client.client._session._held
    assert_none_of(secrets() | {store.load().refresh_key}, repr([client.client, held, store.load(), store, FileStore(tmp_path / "tokens")]))


@pytest.mark.parametrize(
    "happens", [LOST, refused(503, "temporarily_unavailable"), refused(401, "invalid_client"), refused(400, "invalid_grant")]
)
@pytest.mark.parametrize("doing", ["sign_in", "refresh", "sign_out"])
def test_nothing_that_is_raised_or_logged_holds_a_secret_or_leads_to_a_request(connect, server, secrets, caplog, happens, doing):
    client = connect(client_secret="the client's secret")
    client.sign_in("alice", server.password)
    known = secrets()
    server.next = [happens] * 4

    with caplog.at_level(logging.DEBUG), pytest.raises(AuthError) as raised:
        client.sign_in("alice", server.password) if doing == "sign_in" else getattr(client, doing)()

    assert_none_of(known, "".join(traceback.format_exception(raised.value)) + repr(vars(raised.value)))
    assert_none_of(known, caplog.text)
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None
