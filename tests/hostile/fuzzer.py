"""A byte-level fuzzer: well-formed requests, broken in every way that bytes can be broken, over raw sockets.

    python -m tests.hostile.fuzzer http://localhost:8003 600

Whatever comes in, the server answers within its time with a status below 500, or closes; an answer of the
application is JSON with an error_id, and never shows where it came from.
"""

import json
import random
import re
import socket
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import urlsplit

FORM = b"application/x-www-form-urlencoded"
REQUESTS = (
    b"POST /oauth/token HTTP/1.1\r\nHost: localhost\r\nContent-Type: " + FORM + b"\r\nContent-Length: 95\r\n\r\n"
    b"grant_type=password&username=user%40example.com&password=wrong&client_id=codelab-flutter-app&a=b",
    b"POST /oauth/token HTTP/1.1\r\nHost: localhost\r\nContent-Type: " + FORM + b"\r\nAuthorization: Basic Y29kZWxhYi1pbnRlcm5hbDp4\r\n"
    b"Idempotency-Key: 0123456789abcdef\r\nContent-Length: 45\r\n\r\ngrant_type=client_credentials&scope=api%3Aread",
    b"POST /oauth/token HTTP/1.1\r\nHost: localhost\r\nContent-Type: " + FORM + b"; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"1b\r\ngrant_type=refresh_token&re\r\n4c\r\nfresh_token=AXk1aXQhJHNuwCzKGtJNwjcAAAAAOwu5b7xkw6Ve2bTgEro-O8oQ&client_id=x\r\n0\r\n\r\n",
    b"GET /.well-known/jwks.json HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: \"x\"\r\nAccept: */*\r\n\r\n",
    b"GET /.well-known/oauth-authorization-server HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 1.1.1.1, 2.2.2.2\r\n\r\n",
    b"GET /api/v1/me HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer eyJhbGciOiJub25lIn0.e30.\r\n\r\n",
    b"GET /api/v1/sessions?cursor=cD0yMDI2 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer x\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: 10.0.0.1\r\nUser-Agent: probe\r\n\r\n",
    b"GET /admin/login/ HTTP/1.1\r\nHost: localhost\r\nCookie: authserver-session=x; authserver-csrf=y\r\n\r\n",
)  # fmt: skip
TOKENS = (
    b"\x00", b"\xff\xfe", b"%00", b"%ff", b"%", b"%zz", b"\r\n", b"\n", b"\r\n\r\n", b"&", b"=", b";", b",", b"\x7f", b"\xed\xa0\x80",
    "ａ".encode(), b"../", b"//", b"\\", b"'", b'"', b"<script>", b"{{7*7}}", b"%s%n", b"-1", b"99999999999999999999", b"0x10", b"chunked",
    b"identity", b"gzip", b"grant_type=password", b"client_secret=", b"&a=b&a=c", b"[]", b"{}", b"null", b"true", b"Basic ", b"Bearer ",
    b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: evil.example\r\n", b"Expect: 100-continue\r\n",
    b"Connection: close\r\n",
    b"Authorization: Basic YTpi\r\n", b"Content-Type: application/json\r\n", b"X-Forwarded-Proto: https\r\n", b"Content-Encoding: gzip\r\n",
)  # fmt: skip
LEAKS = re.compile(rb"Traceback|File \"/|django\.|psycopg|sqlite3|SELECT |gunicorn/\d|SECRET_KEY")
STATUS = re.compile(rb"HTTP/1\.\d (\d{3})")
# By error code, what a refusal has besides.
MORE_MEMBERS = {"account_locked": {"retry_after", "locked_until"}, "rate_limit_exceeded": {"retry_after"}}


@dataclass
class Outcome:
    """What came of a run; `failures` holds (what was wrong, the request, the answer)."""

    requests: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[str, bytes, bytes]] = field(default_factory=list)

    def __str__(self) -> str:
        statuses = ", ".join(f"{status}: {count}" for status, count in sorted(self.statuses.items()))
        return f"{self.requests} broken requests; answers {statuses}; failures {len(self.failures)}"


def fuzz(url: str, *, seconds: float, seed: int) -> Outcome:
    """Send broken requests for that long. The same seed breaks them the same way."""
    where, dice, outcome = urlsplit(url), random.Random(seed), Outcome()
    end = time.monotonic() + seconds
    while time.monotonic() < end and len(outcome.failures) < 10:
        request = broken(dice.choice(REQUESTS), dice)
        answer, in_time = exchange(where.hostname or "localhost", where.port or 80, request)
        outcome.requests += 1
        status = STATUS.match(answer)
        outcome.statuses[status[1].decode() if status else "closed" if in_time else "silent"] += 1
        complaint = judge(request, answer, in_time=in_time)
        if complaint:
            outcome.failures.append((complaint, request, answer))
    return outcome


def broken(request: bytes, dice: random.Random) -> bytes:
    """One to four changes, each of a kind that real clients, proxies and attackers make."""
    for _ in range(dice.randint(1, 4)):
        at, other = sorted((dice.randrange(len(request) + 1), dice.randrange(len(request) + 1)))
        head, separator, body = request.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        line = dice.randrange(len(lines))
        match dice.randrange(10):
            case 0:
                request = request[:at] + bytes([dice.randrange(256)]) + request[at + 1 :]
            case 1:
                request = request[:at] + dice.choice(TOKENS) + request[at:]
            case 2:
                request = request[:at] + request[other:]
            case 3:
                request = request[:other] + request[at:other] * dice.randint(1, 50) + request[other:]
            case 4:
                request = request[:at]
            case 5:
                request = (
                    b"\r\n".join([*lines[: line + 1], *lines[line : line + 1] * dice.randint(1, 120), *lines[line + 1 :]])
                    + separator
                    + body
                )
            case 6:
                request = b"\r\n".join(lines[:line] + lines[line + 1 :]) + separator + body
            case 7:
                request = b"\r\n".join([*lines, dice.choice(TOKENS).strip() + b": " + dice.choice(TOKENS)]) + separator + body
            case 8:
                request = re.sub(rb"Content-Length: \d+", b"Content-Length: %d" % len(body), request)
                request += dice.choice(TOKENS)
            case _:
                method = dice.choice([b"GET", b"PUT", b"HEAD", b"OPTIONS", b"TRACE", b"CONNECT", b"get", b"\x00", b"POST "])
                request = method + b" " + request.partition(b" ")[2]
    return request


def exchange(host: str, port: int, request: bytes) -> tuple[bytes, bool]:
    """All that the server says until it closes or has given one whole answer; False when it went silent instead."""
    answer = b""
    with socket.create_connection((host, port), timeout=10) as connection:
        try:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65536):
                answer += part
        except TimeoutError:
            return answer, False
        except OSError:  # the server closed while we were still sending
            pass
    return answer, True


def judge(request: bytes, answer: bytes, *, in_time: bool) -> str:
    """What is wrong with the answer; empty when nothing is."""
    if not in_time and not answer:
        return "no answer within ten seconds"
    status = STATUS.match(answer)
    if not status:
        return "not an HTTP answer" if answer else ""
    if status[1] >= b"500" and status[1] != b"501":  # RFC 9112 §6.1 has 501 for a transfer coding that is not known
        return f"status {status[1].decode()}"
    if LEAKS.search(answer):
        return "the answer shows where it came from"
    head, _, body = answer.partition(b"\r\n\r\n")
    if b"text/html" in head and request.partition(b" ")[2].startswith((b"/oauth", b"/.well-known", b"/api")):
        return "HTML where machines read"
    if b"application/json" in head and b'"error"' in body and body.count(b"HTTP/1.1") == 0:
        try:
            refusal = json.loads(body)
        except ValueError:
            return "the JSON of the answer does not parse"
        if set(refusal) - MORE_MEMBERS.get(refusal.get("error"), set()) != {"error", "error_description", "error_id"}:
            return "the refusal has another shape"
        if b"no-store" not in head:
            return "the refusal may be cached"
    return ""


if __name__ == "__main__":
    result = fuzz(sys.argv[1], seconds=float(sys.argv[2]), seed=int(time.time()))
    print(result)
    for complaint, request, answer in result.failures:
        print(f"\n{complaint}\n{request!r}\n{answer[:2000]!r}")
    sys.exit(1 if result.failures else 0)
