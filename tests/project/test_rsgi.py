"""Requests as Granian hands them over, and what the application is given of them."""

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from authserver import draining, rsgi

HOST = ("host", "localhost")


class Headers:
    """As hyper's: a value that is not ASCII is not among the items, and its name is among the keys."""

    def __init__(self, *pairs: tuple[str, str]) -> None:
        self._pairs = pairs

    def __contains__(self, name: str) -> bool:
        return name in dict(self._pairs)

    def __len__(self) -> int:
        return len(dict(self._pairs))

    def items(self) -> list[tuple[str, str]]:
        return [(name, value) for name, value in self._pairs if value.isascii()]


@dataclass
class Protocol:
    """`body` is what comes; None for one that breaks off."""

    body: bytes | None = b""
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    asked: int = 0

    def __call__(self) -> Any:
        self.asked += 1
        return Coming(self.body)

    def response_bytes(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.answers.append((status, dict(headers), content))


class Coming:
    """A body that is there at once, or will never be."""

    def __init__(self, body: bytes | None) -> None:
        self._body = body

    def cancelled(self) -> bool:
        return False

    def exception(self) -> Exception | None:
        return OSError() if self._body is None else None

    def result(self) -> bytes | None:
        return self._body

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        callback(self)


def scope_of(*headers: tuple[str, str], method: str = "GET", path: str = "/live", client: str = "192.0.2.1:5000") -> Any:
    return SimpleNamespace(
        method=method,
        path=path,
        query_string="a=é",
        http_version="1.1",
        server="0.0.0.0:8003",
        client=client,
        headers=Headers(*headers),
    )


def take(application: Any, *headers: tuple[str, str], body: bytes | None = b"", **changes: str) -> Protocol:
    protocol = Protocol(body)
    rsgi.Bridge(application).take(SimpleNamespace(scope=scope_of(*headers, **changes), proto=protocol))
    return protocol


def echo(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("X-Length", environ.get("CONTENT_LENGTH", ""))])
    return [environ["wsgi.input"].read()]


def test_the_environ_is_that_of_wsgi() -> None:
    environ = rsgi.environ_of(scope_of(HOST, ("content-type", "a/b"), ("x-a", "1"), ("x-a", "2"), path="/é", client="[::1]:5000"))

    assert (environ["PATH_INFO"], environ["QUERY_STRING"]) == ("/é".encode().decode("latin-1"), "a=é".encode().decode("latin-1"))
    assert (environ["HTTP_HOST"], environ["CONTENT_TYPE"], environ["HTTP_X_A"]) == ("localhost", "a/b", "1,2")
    assert (environ["REMOTE_ADDR"], environ["SERVER_PORT"]) == ("::1", "8003")
    assert "HTTP_CONTENT_TYPE" not in environ


@pytest.mark.checklist(82)
def test_a_name_with_an_underscore_is_nobodys() -> None:
    environ = rsgi.environ_of(
        scope_of(HOST, ("x-forwarded-for", "192.0.2.7"), ("x_forwarded_for", "198.51.100.66"), ("content_length", "5"))
    )

    assert environ["HTTP_X_FORWARDED_FOR"] == "192.0.2.7"
    assert not {"CONTENT_LENGTH", "HTTP_CONTENT_LENGTH"} & environ.keys()


@pytest.mark.parametrize(("header", "status"), [(("transfer-encoding", "chunked"), 411), (("x-forwarded-for", "ä, 192.0.2.7"), 400)])
def test_what_cannot_be_told_is_refused(header: tuple[str, str], status: int) -> None:
    [(answered, headers, _)] = take(echo, HOST, header).answers

    assert (answered, headers["Connection"]) == (status, "close")


def test_the_body_is_handed_on_when_it_is_there() -> None:
    protocol = take(echo, HOST, ("content-length", "3"), body=b"abc", method="POST")

    assert protocol.answers == [(200, {"X-Length": "3"}, b"abc")]


def test_a_body_that_broke_off_is_not_handed_on() -> None:
    [(status, headers, _)] = take(echo, HOST, ("content-length", "3"), body=None, method="POST").answers

    assert (status, headers["Connection"]) == (400, "close")


@pytest.mark.parametrize("length", ["65537", "9" * 30, "-5", "3,3"])
def test_of_a_body_whose_length_will_not_do_nothing_is_read(length: str) -> None:
    protocol = take(echo, HOST, ("content-length", length), body=b"abc", method="POST")

    assert protocol.asked == 0
    assert protocol.answers == [(200, {"X-Length": length, "Connection": "close"}, b"")]


def test_who_is_answered_while_the_server_ends_goes_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draining, "has_begun", lambda: True)

    [(_, headers, _)] = take(echo, HOST).answers

    assert headers["Connection"] == "close"


def test_a_bug_is_logged_and_goes_no_further(caplog: pytest.LogCaptureFixture) -> None:
    def broken(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        raise ZeroDivisionError

    for length in ("0", "3"):
        assert take(broken, HOST, ("content-length", length), body=b"abc").answers == []

    assert [record.name for record in caplog.records] == ["authserver.rsgi"] * 2


def test_an_answer_is_closed_when_it_breaks_in_the_middle() -> None:
    class Answer(io.BytesIO):
        def __next__(self) -> bytes:
            raise OSError

    answer = Answer(b"abc")

    def streaming(environ: dict[str, Any], start_response: Any) -> Answer:
        start_response("200 OK", [])
        return answer

    assert take(streaming, HOST).answers == []
    assert answer.closed
