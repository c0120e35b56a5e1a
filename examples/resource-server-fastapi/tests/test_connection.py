"""The WebSocket: over a real one, from the handshake to the close."""

import json
import logging
import socket
import threading
import time

import pytest
from resource_server.connection import MAX_CHARACTERS
from websockets.exceptions import ConnectionClosed, InvalidStatus


def say(connection, message):
    connection.send(message if isinstance(message, (str, bytes)) else json.dumps(message))
    return heard(connection)


def heard(connection):
    return json.loads(connection.recv(timeout=20))


def closed_with(connection):
    with pytest.raises(ConnectionClosed) as closed:
        connection.recv(timeout=20)
    return closed.value.rcvd.code, closed.value.rcvd.reason


def renewal(token):
    return json.dumps({"type": "authenticate", "access_token": token})


# --- The handshake ----------------------------------------------------------------------------------


def refused(open_socket, headers):
    with pytest.raises(InvalidStatus) as raised, open_socket(headers):
        pass
    response = raised.value.response
    return response.status_code, response.headers.get("WWW-Authenticate")


def test_a_bearer_is_told_for_how_long_the_connection_may_stay(open_socket, bearer):
    with open_socket(bearer(lifetime=900)) as connection:
        told = heard(connection)

    assert told["type"] == "authenticated"
    assert 880 < told["expires_in"] <= 900


def test_without_a_good_token_there_is_no_connection(open_socket, bearer, caplog):
    caplog.set_level(logging.WARNING, "uvicorn")

    assert refused(open_socket, {}) == (401, 'Bearer realm="api"')
    assert refused(open_socket, bearer(aud="billing")) == (401, 'Bearer realm="api", error="invalid_token"')
    assert refused(open_socket, bearer(scope="api:write")) == (403, 'Bearer realm="api", error="insufficient_scope", scope="api:read"')
    # Its seconds of grace are for a request; a connection would end as it begins.
    assert refused(open_socket, bearer(lifetime=-5))[0] == 401
    assert caplog.messages == []


def test_without_keys_there_is_no_connection_yet(open_socket, issuer, bearer):
    issuer.answer = lambda request: request.send(503, b"")

    assert refused(open_socket, bearer()) == (503, None)


# --- Messages ---------------------------------------------------------------------------------------


def test_a_message_is_answered_with_whose_it_is(open_socket, bearer):
    with open_socket(bearer(sub="alice")) as connection:
        heard(connection)

        answer = say(connection, {"type": "chat", "text": "привет"})

    assert answer == {"type": "message", "session_id": "s1", "user_id": "alice", "message": {"type": "chat", "text": "привет"}}


@pytest.mark.parametrize(
    "message", ["", "{", "[]", "7", "[" * 20_000, b"{}"], ids=["nothing", "cut", "list", "number", "brackets", "bytes"]
)
def test_what_is_no_object_is_answered_and_the_connection_stays(open_socket, bearer, message):
    with open_socket(bearer()) as connection:
        heard(connection)

        assert say(connection, message) == {"type": "error", "error": "invalid_message"}
        assert say(connection, {})["message"] == {}


def test_a_message_that_is_too_long_ends_the_connection(open_socket, bearer):
    with open_socket(bearer()) as connection:
        heard(connection)
        connection.send(json.dumps({"text": "x" * MAX_CHARACTERS}))

        assert closed_with(connection)[0] == 1009


# --- The end of a token, and a new one --------------------------------------------------------------


def test_a_connection_ends_with_its_token(open_socket, bearer):
    with open_socket(bearer(lifetime=2)) as connection:
        heard(connection)

        assert closed_with(connection) == (4401, "token expired")


def test_a_new_token_in_time_outlives_the_first(open_socket, issuer, bearer):
    with open_socket(bearer(sub="alice", lifetime=3)) as connection:
        opened_at = time.time()
        heard(connection)

        assert 590 < say(connection, renewal(issuer.mint(sub="alice", lifetime=600)))["expires_in"] <= 600
        time.sleep(max(0, opened_at + 3.5 - time.time()))  # the first one has expired by now
        assert say(connection, {"still": "here"})["user_id"] == "alice"


def test_a_shorter_token_shortens_the_connection(open_socket, issuer, bearer):
    with open_socket(bearer(sub="alice", lifetime=900)) as connection:
        heard(connection)
        say(connection, renewal(issuer.mint(sub="alice", lifetime=2)))

        assert closed_with(connection) == (4401, "token expired")


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"sub": "alice", "lifetime": -5}, 4401),
        ({"sub": "alice", "aud": "billing"}, 4401),
        ({"sub": "alice", "header": {"alg": "none"}}, 4401),
        ({"sub": "bob"}, 4403),
        ({"sub": "alice", "client_id": "another-app"}, 4403),
        ({"sub": "alice", "scope": "api:write"}, 4403),
    ],
    ids=str,
)
def test_a_new_token_that_does_not_do_ends_the_connection(open_socket, issuer, bearer, claims, code):
    with open_socket(bearer(sub="alice")) as connection:
        heard(connection)
        connection.send(renewal(issuer.mint(**claims)))

        assert closed_with(connection)[0] == code


@pytest.mark.parametrize("message", [{"type": "authenticate"}, {"type": "authenticate", "access_token": ["a.b.c"]}], ids=["none", "list"])
def test_a_renewal_without_a_token_ends_the_connection(open_socket, bearer, message):
    with open_socket(bearer()) as connection:
        heard(connection)
        connection.send(json.dumps(message))

        assert closed_with(connection) == (4401, "invalid token")


# --- Clients that do nothing ------------------------------------------------------------------------


def wait_until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def pour(connection, sent):
    """Send and send; the answers are read by nobody."""
    try:
        while True:
            connection.send(json.dumps({"text": "x" * 60_000}))
            sent.append(time.monotonic())
    except ConnectionClosed:
        return


def test_a_client_that_reads_nothing_is_not_read_from_and_goes_with_its_token(open_socket, server, bearer, monkeypatch):
    monkeypatch.setattr("resource_server.connection.CLOSE_SECONDS", 0.2)
    sent = []
    with open_socket(bearer(sub="alice", lifetime=4), compression=None, max_queue=1, close_timeout=0.1) as deaf:
        opened_at = time.time()
        pouring = threading.Thread(target=pour, args=(deaf, sent))
        pouring.start()
        wait_until(lambda: sent and time.monotonic() - sent[-1] > 0.5)
        assert len(sent) < 2_000  # what the buffers of the system hold, and no more

        with open_socket(bearer(sub="bob")) as other:
            heard(other)
            assert say(other, {})["user_id"] == "bob"
        wait_until(lambda: not server.server_state.tasks)
        assert time.time() - opened_at > 2
        deaf.socket.shutdown(socket.SHUT_RDWR)  # or the one who pours holds its lock for ever
    pouring.join(30)
    assert not pouring.is_alive()


def test_a_client_that_says_nothing_goes_with_its_token(open_socket, server, bearer):
    with open_socket(bearer(lifetime=2)):
        wait_until(lambda: len(server.server_state.tasks) == 1)
        wait_until(lambda: not server.server_state.tasks)
