"""HTTP byte by byte, where a client library would mend, hide or delay what is sent."""

import json
import socket
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from email.message import Message
from http.client import parse_headers
from typing import Any
from urllib.parse import urlencode

PATIENCE_SECONDS = 20
# Lines that no client sends beside a form with its length: too many, too long, twice what may stand once, and what is no header.
ODD_HEADERS = (
    [f"X-Header-{number}: x" for number in range(200)],
    [f"X-Header: {'x' * 65536}"],
    ["Content-Type: application/x-www-form-urlencoded"],
    ["Authorization: Basic YTpi", "Authorization: Basic YTpi"],
    ["No colon in this line"],
    ["Space before : the colon"],
    ["Content-Length: 5"],
    ["Host: mallory.example"],
)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Message
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Wire:
    """One connection."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)
        self._input = self._socket.makefile("rb")

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self._input.close()
        self._socket.close()

    def send(self, data: bytes) -> None:
        """A server may answer and close before it has taken all; then the answer is what counts."""
        with suppress(ConnectionError):
            self._socket.sendall(data)

    def half_close(self) -> None:
        """Send no more, and go on reading."""
        self._socket.shutdown(socket.SHUT_WR)

    def read(self) -> Answer | None:
        """The next answer; None when the server has closed the connection. Raises TimeoutError when it does neither."""
        try:
            status_line = self._input.readline()
        except ConnectionError:
            return None
        if not status_line:
            return None
        headers = parse_headers(self._input)
        return Answer(int(status_line.split()[1]), headers, self._input.read(int(headers["Content-Length"])))


def form_request(form: dict[str, str], **headers: str) -> bytes:
    """POST /oauth/token."""
    body = urlencode(form).encode()
    return token_head(f"Content-Length: {len(body)}", *(f"{name}: {value}" for name, value in as_headers(headers).items())) + body


def as_headers(arguments: dict[str, str]) -> dict[str, str]:
    """Idempotency_Key, as Python spells an argument, is Idempotency-Key."""
    return {name.replace("_", "-"): value for name, value in arguments.items()}


def token_head(*lines: str) -> bytes:
    """The head of a POST to the token endpoint, with these header lines added."""
    head = ["POST /oauth/token HTTP/1.1", "Host: localhost", "Content-Type: application/x-www-form-urlencoded", *lines, "", ""]
    return "\r\n".join(head).encode()


def chunks(body: bytes, *, size: int) -> bytes:
    """A body in chunks, without the empty one that ends it."""
    parts = (body[start : start + size] for start in range(0, len(body), size))
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)


LAST_CHUNK = b"0\r\n\r\n"


def burst(port: int, requests: Iterable[bytes]) -> list[Answer]:
    """Send each request on a connection of its own, all but its last byte; then the last bytes, all at once."""
    with ExitStack() as stack:
        begun = [(stack.enter_context(Wire(port)), request) for request in requests]
        for wire, request in begun:
            wire.send(request[:-1])
        for wire, request in begun:
            wire.send(request[-1:])
        answers = [wire.read() for wire, _ in begun]
    assert None not in answers, "the server closed a connection without an answer"
    return [answer for answer in answers if answer is not None]
