"""Ask a server over HTTP as a stranger would: no redirect is followed, and who does not answer is given up in seconds."""

import os
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

SECONDS = 5.0
MOST_BYTES = 1 << 20


class Unreachable(Exception):
    """No answer; the message says why, and quotes nothing that the other side sent."""


@dataclass(frozen=True)
class Answer:
    """`headers` in small letters. `certificate_ends_at` is None over plain HTTP."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    certificate_ends_at: datetime | None


def ask(url: str, *, method: str = "GET", headers: Mapping[str, str] | None = None, body: str | None = None) -> Answer:
    """Raises Unreachable."""
    parts = urlsplit(url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    asked = kind(parts.hostname or "", parts.port, timeout=SECONDS)
    try:
        asked.request(method, parts.path or "/", body=body, headers={"User-Agent": "authserver doctor", **(headers or {})})
        ends_at = _end_of_certificate(asked.sock)  # before the answer, after which it may be closed
        response = asked.getresponse()
        headers_in_small = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers_in_small, _read(response), ends_at)
    except (OSError, HTTPException, ValueError) as error:
        raise Unreachable(_reason(error)) from None
    finally:
        asked.close()


def _read(response: HTTPResponse) -> bytes:
    """As much as comes in time. Raises TimeoutError for who sends it drop by drop."""
    content, give_up_at = b"", time.monotonic() + SECONDS
    while len(content) < MOST_BYTES and (more := response.read1(MOST_BYTES - len(content))):
        content += more
        if time.monotonic() > give_up_at:
            raise TimeoutError
    return content


def _end_of_certificate(sock: Any) -> datetime | None:
    if not isinstance(sock, ssl.SSLSocket):
        return None
    certificate: Any = sock.getpeercert()
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), tz=UTC)


def _reason(error: Exception) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted here: {error.verify_message}"
        case ssl.SSLError():
            return "it does not speak TLS as this machine does"
        case socket.gaierror():
            return "its name leads nowhere"
        case TimeoutError():
            return f"no answer within {SECONDS:.0f} seconds"
        case ConnectionRefusedError():
            return "the connection is refused"
        case OSError(errno=int(number)):
            return f"this machine says: {os.strerror(number)}"
        case _:
            return type(error).__name__
