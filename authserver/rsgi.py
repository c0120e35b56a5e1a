"""The WSGI application behind RSGI, Granian's own interface: no thread waits for a body, and what WSGI cannot tell apart is refused.

Granian's WSGI would hand on `X_Forwarded_For` as if it were `X-Forwarded-For`, and a body that broke off as if it were whole.
"""

import io
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from http import HTTPStatus
from typing import Any

from authserver import draining, not_http
from oauth.http import MAX_BODY_BYTES

READ_SECONDS = 10.0
_EVERY_REQUEST = {
    "SCRIPT_NAME": "",
    "SERVER_SOFTWARE": "granian",
    "wsgi.version": (1, 0),
    "wsgi.errors": sys.stderr,
    "wsgi.multithread": True,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
    "wsgi.input_terminated": True,
}

logger = logging.getLogger("authserver.rsgi")


class NotReadable(Exception):
    """`reason` goes to the log, and quotes nothing of the request."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class AtOnce:
    """Stands where Granian wants an event loop: who says that something is ready goes on with it."""

    @staticmethod
    def call_soon(callback: Callable[..., Any], *arguments: Any, context: Any = None) -> None:
        callback(*arguments)

    call_soon_threadsafe = call_soon


class Bridge:
    """Takes requests as Granian's threads hand them over."""

    def __init__(self, application: Callable[[dict[str, Any], Any], Iterable[bytes]]) -> None:
        self._application = application
        self._coming: dict[Any, float] = {}  # bodies, and until when each is waited for

    def take(self, watcher: Any) -> None:
        """Granian looks at no exception, so none leaves this. What has not been answered by the end it answers with a 500."""
        try:
            self._take(watcher.scope, watcher.proto)
        except BaseException:
            logger.exception("a request was not answered")

    def watch(self) -> None:
        """Give up on bodies that do not come, from a thread of its own."""
        threading.Thread(target=self._watch, name="bodies", daemon=True).start()

    def _watch(self) -> None:
        while True:
            time.sleep(1)
            now = time.monotonic()
            for body, deadline in list(self._coming.items()):
                if deadline <= now:
                    body.cancel()  # and `_arrived` is called

    def _take(self, scope: Any, protocol: Any) -> None:
        try:
            environ = environ_of(scope)
        except NotReadable as error:
            _refuse(protocol, error.status, error.reason)
            return
        length = environ.get("CONTENT_LENGTH", "0")
        if not length.isdecimal() or not 0 < int(length) <= MAX_BODY_BYTES:
            # Of a body that is too long nothing is read: its length is what it is refused for, and the connection ends.
            self._answer(environ, protocol, body=b"", is_last=length != "0")
            return
        body = protocol()
        self._coming[body] = time.monotonic() + READ_SECONDS
        body.add_done_callback(partial(self._arrived, environ, protocol))

    def _arrived(self, environ: dict[str, Any], protocol: Any, body: Any) -> None:
        self._coming.pop(body, None)
        try:
            if body.cancelled():
                _refuse(protocol, HTTPStatus.REQUEST_TIMEOUT, "the body did not come")
            elif body.exception() is not None:
                # Half a request spends no token (RFC 9112 §8); nor would the application let it, of which no byte is handed on.
                _refuse(protocol, HTTPStatus.BAD_REQUEST, "the body broke off")
            else:
                self._answer(environ, protocol, body=body.result(), is_last=False)
        except BaseException:
            logger.exception("a request was not answered")

    def _answer(self, environ: dict[str, Any], protocol: Any, *, body: bytes, is_last: bool) -> None:
        told: list[tuple[int, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], *error: Any) -> None:
            told.append((int(status[:3]), headers))

        answer = self._application(environ | {"wsgi.input": io.BytesIO(body)}, start_response)
        try:
            # Whole, an export too: Granian could not tell a client that the rest of a stream will not come.
            content = b"".join(answer)
        finally:
            if hasattr(answer, "close"):
                answer.close()
        status, headers = told[-1]
        if is_last or draining.has_begun():  # the next request of this client is another server's
            headers = [*headers, ("Connection", "close")]
        protocol.response_bytes(status, headers, content)


def environ_of(scope: Any) -> dict[str, Any]:
    """Of one request, without its body. Raises NotReadable."""
    headers = scope.headers
    # SECURITY: hyper takes a body with two lengths, and strikes one out before we see it (RFC 9112 §6.1): only Content-Length is read here.
    if "transfer-encoding" in headers:
        raise NotReadable(HTTPStatus.LENGTH_REQUIRED, "Transfer-Encoding")
    named: dict[str, str] = {}
    for name, value in headers.items():
        named[name] = f"{named[name]},{value}" if name in named else value
    # SECURITY: a value that is not ASCII is missing: X-Forwarded-For would be, when its client had put an umlaut into it.
    if len(named) != len(headers):
        raise NotReadable(HTTPStatus.BAD_REQUEST, "a header that is not ASCII")
    server, _, server_port = scope.server.rpartition(":")
    client, _, _ = scope.client.rpartition(":")
    environ = _EVERY_REQUEST | {
        "REQUEST_METHOD": scope.method,
        "PATH_INFO": scope.path.encode().decode("latin-1"),
        "QUERY_STRING": scope.query_string.encode().decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "SERVER_NAME": server.strip("[]"),
        "SERVER_PORT": server_port,
        "REMOTE_ADDR": client.strip("[]"),
        "wsgi.url_scheme": "http",
    }
    for name, value in named.items():
        if variable := _variable_of(name):
            environ[variable] = value
    return environ


@lru_cache(maxsize=256)
def _variable_of(header: str) -> str:
    """The empty string for one that is left out."""
    # SECURITY: X_Forwarded_For would be the variable of X-Forwarded-For, and proxies let it through.
    if "_" in header:
        return ""
    variable = header.replace("-", "_").upper()
    return variable if header in {"content-type", "content-length"} else f"HTTP_{variable}"


def _refuse(protocol: Any, status: HTTPStatus, reason: str) -> None:
    headers, body = not_http.refuse(status, reason=reason)
    protocol.response_bytes(status.value, headers, body)
