"""A small server that keeps authserver's promises about tokens, and loses or refuses what it is told to."""

import json
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl


@dataclass(frozen=True)
class Asked:
    """A request that arrived, and when, by time.monotonic()."""

    path: str
    form: dict[str, str]
    headers: dict[str, str]
    at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Refused:
    """An answer instead of the true one. Nothing is done for it."""

    status: int
    body: dict[str, Any] | str
    headers: dict[str, str] = field(default_factory=dict)


LOST = "it is done, and the answer is lost"
ERROR_ID = "0123456789abcdef"


def refused(status, error, *, headers=(), **members):
    body = {"error": error, "error_description": f"the words for {error}", "error_id": ERROR_ID} | members
    return Refused(status, body, dict(headers))


class _Listener(ThreadingHTTPServer):
    request_queue_size = 128  # everybody comes at once


class PlayedServer:
    """`password` is everybody's; `next` is what happens to the next requests for tokens; `before_token` is called when one has arrived."""

    password = "open sesame"

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.next: list[Any] = []
        self.expires_in = 900
        self.before_token: Callable[[], Any] = lambda: None
        self.answer_api: Callable[[], Refused | None] = lambda: None
        self.live: str | None = None  # the refresh token that is not spent
        self.good: set[str] = set()  # access tokens that the API accepts
        self._last: tuple[str, str, str] | None = None  # of the last refresh: the token that was spent, the key, the successor
        self._lock = threading.Lock()
        self._http = _Listener(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def refreshes(self) -> list[Asked]:
        return [each for each in self.asked if each.form.get("grant_type") == "refresh_token"]

    def end_session(self) -> None:
        self.live, self._last, self.good = None, None, set()

    def token(self, form: dict[str, str], headers: dict[str, str]) -> Refused | dict[str, Any]:
        if form["grant_type"] == "password":
            if form["password"] != self.password:
                return refused(400, "invalid_grant")
            self.live, self._last = secrets.token_urlsafe(38), None
            return self._tokens(form.get("scope", "api:read"))
        presented, key = form["refresh_token"], headers.get("Idempotency-Key", "")
        if self._last and (presented, key) == self._last[:2]:
            return self._tokens("api:read")
        if presented != self.live:
            self.end_session()  # reuse
            return refused(400, "invalid_grant")
        self.live = secrets.token_urlsafe(38)
        self._last = (presented, key, self.live)
        return self._tokens("api:read")

    def _tokens(self, scope: str) -> dict[str, Any]:
        self.good = {access_token := secrets.token_urlsafe(40)}
        return {
            "access_token": access_token,
            "token_type": "Bearer",
            "expires_in": self.expires_in,
            "refresh_token": self.live,
            "scope": scope,
        }

    def answer(self, path: str, body: str, headers: dict[str, str]) -> Refused | dict[str, Any] | None:
        """None when the answer is lost."""
        form = dict(parse_qsl(body)) if path.startswith("/oauth/") else {}
        with self._lock:
            self.asked.append(Asked(path, form, headers))
            happens = self.next.pop(0) if path.startswith("/oauth/") and self.next else None
        if path == "/oauth/token":
            self.before_token()
        if isinstance(happens, Refused):
            return happens
        with self._lock:
            answer = self._answer(path, form, body, headers)
        return None if happens == LOST else answer

    def _answer(self, path: str, form: dict[str, str], body: str, headers: dict[str, str]) -> Refused | dict[str, Any]:
        if path == "/oauth/token":
            return self.token(form, headers)
        if path == "/oauth/revoke":
            self.end_session()
            return {}
        if refusal := self.answer_api():
            return refusal
        if headers.get("Authorization", "").removeprefix("Bearer ") in self.good:
            return {"path": path, "body": body}
        return Refused(401, {"error": "invalid_token"}, {"WWW-Authenticate": 'Bearer error="invalid_token"'})

    def _handler(played) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = (
                    self.rfile.read(int(self.headers.get("Content-Length", 0)))
                    if "Transfer-Encoding" not in self.headers
                    else self.chunks()
                )
                answer = played.answer(self.path, body.decode(), dict(self.headers))
                if answer is None:
                    return  # HTTP/1.0: the connection ends here
                status, content, headers = (
                    (answer.status, answer.body, answer.headers) if isinstance(answer, Refused) else (200, answer, {})
                )
                payload = (content if isinstance(content, str) else json.dumps(content)).encode()
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(payload))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(payload)

            do_GET = do_POST

            def chunks(self) -> bytes:
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body

            def log_message(self, *_: object) -> None: ...

        return Handler
