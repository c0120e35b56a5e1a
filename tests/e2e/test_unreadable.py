"""What is not HTTP at all: answered in JSON, logged without a word of it."""

import json
import socket

import pytest


def send(server, request):
    with socket.create_connection(("localhost", server.port), timeout=10) as connection:
        connection.sendall(request)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), head, json.loads(body)


@pytest.mark.checklist(16, 17, 110)
@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"POST /oauth/token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST /oauth/token HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
        (
            b"POST /oauth/token HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (b"POST /oauth/token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde", 400),
        (b"POST /oauth/token HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n", 400),
        (b"GET /oauth/token HTTP/1.1\r\nHost: localhost\r\n" + b"X-A: 1\r\n" * 200 + b"\r\n", 431),
        (b"GET /oauth/token HTTP/1.1\r\nHost: localhost\r\nX-A: " + b"a" * 65536 + b"\r\n\r\n", 431),
        (b"GET /" + b"a" * 65536 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
        (b"garbage\r\n\r\n", 400),
    ],
)
def test_a_request_that_cannot_be_read_is_refused_in_json(server, request_bytes, status):
    answered, head, refusal = send(server, request_bytes)

    assert answered == status
    assert refusal["error"] == "invalid_request"
    assert b"no-store" in head
    assert b"Connection: close" in head
    assert refusal["error_id"] in server.output()


@pytest.mark.checklist(108)
def test_the_refusal_has_the_headers_that_every_answer_has(server):
    _, unreadable, _ = send(server, b"garbage\r\n\r\n")
    _, ordinary, _ = send(server, b"GET /oauth/nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")

    names = {line.partition(b":")[0] for line in ordinary.splitlines()[1:]} - {b"Server", b"Date", b"X-Request-ID"}
    assert names <= {line.partition(b":")[0] for line in unreadable.splitlines()[1:]}


def test_what_it_held_is_not_logged(server):
    send(server, b"GET /oauth/token HTTP/1.1\r\nHost: localhost\r\nAuthorization : Bearer a-token-of-alice\r\n\r\n")
    send(server, b"GET /?a-token-of-alice HTTP/9\r\nHost: localhost\r\n\r\n")
    send(server, b"a-token-of-alice\r\n\r\n")
    send(server, b"GET /live HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: a-token-of-alice\r\n\r\n")

    assert "a-token-of-alice" not in server.output()
