"""What a load asks of the server, as the bytes of one connection's requests, and what it learns from the answers."""

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from typing import Protocol
from urllib.parse import quote, urlencode

_REFRESH_TOKEN = re.compile(rb'"refresh_token":"([\w-]+)"')
FORM = "application/x-www-form-urlencoded"
PASSWORD = "correct horse battery staple"
PUBLIC_CLIENT, SERVICE = "bench-app", "bench-service"


class Kind(Protocol):
    """One connection's way to ask for something again and again."""

    name: str

    def next(self) -> bytes: ...

    def learn(self, status: str, body: bytes) -> bool:
        """Look at the answer to the last request; False when it is not what it should be."""


def username(number: int) -> str:
    return f"bench-{number}"  # as fill.py made them


@dataclass(frozen=True)
class Wire:
    """How one connection speaks to the server: through a proxy that ends TLS and names the address of the client."""

    host: str
    address: str

    def post(self, path: str, form: dict[str, str], *, authorization: str = "") -> bytes:
        body = urlencode(form).encode()
        extra = f"Authorization: {authorization}\r\n" if authorization else ""
        return self._head("POST", path, f"{extra}Content-Type: {FORM}\r\nContent-Length: {len(body)}\r\n") + body

    def get(self, path: str) -> bytes:
        return self._head("GET", path, "")

    def _head(self, method: str, path: str, extra: str) -> bytes:
        proxy = f"X-Forwarded-For: {self.address}\r\nX-Forwarded-Proto: https\r\nX-Request-ID: 0123456789abcdef0123456789abcdef\r\n"
        known = f"Host: {self.host}\r\n{proxy}User-Agent: Bench/1\r\nAccept: application/json\r\n"
        return f"{method} {path} HTTP/1.1\r\n{known}{extra}\r\n".encode()


class Refresh:
    """A chain of refreshes of one session: each spends what the one before gave."""

    name = "refresh"

    def __init__(self, wire: Wire, *, refresh_token: bytes) -> None:
        form = {"grant_type": "refresh_token", "client_id": PUBLIC_CLIENT, "refresh_token": refresh_token.decode()}
        self._before = wire.post("/oauth/token", form).removesuffix(refresh_token)
        self._token = refresh_token

    def next(self) -> bytes:
        return self._before + self._token  # all tokens are of one length

    def learn(self, status: str, body: bytes) -> bool:
        match = _REFRESH_TOKEN.search(body)
        if status != "200" or match is None or match[1] == self._token:
            return False
        self._token = match[1]
        return True


class SignIn:
    """Sign-ins of one user after the other."""

    name = "sign_in"

    def __init__(self, wire: Wire, *, users: Iterator[int], password: str = PASSWORD, may_be_put_off: bool = False) -> None:
        self._wire, self._users, self._password, self._may_be_put_off = wire, users, password, may_be_put_off

    def next(self) -> bytes:
        name = username(next(self._users))
        form = {"grant_type": "password", "client_id": PUBLIC_CLIENT, "username": name, "password": self._password}
        return self._wire.post("/oauth/token", form)

    def learn(self, status: str, body: bytes) -> bool:
        if status == "503":
            return self._may_be_put_off and b'"temporarily_unavailable"' in body
        return status == "200" and refresh_token_of(body) is not None


class WrongPassword(SignIn):
    """Guesses at the users' passwords; to be told to come back is as good an answer as to be refused."""

    name = "guess"

    def __init__(self, wire: Wire, *, users: Iterator[int]) -> None:
        super().__init__(wire, users=users, password="not the password of anybody", may_be_put_off=True)

    def learn(self, status: str, body: bytes) -> bool:
        return (status == "400" and b'"invalid_grant"' in body) or (status == "503" and super().learn(status, body))


class Same:
    """The same request every time; `expected` stands in each good answer."""

    def __init__(self, name: str, request: bytes, *, expected: bytes) -> None:
        self.name, self._request, self._expected = name, request, expected

    def next(self) -> bytes:
        return self._request

    def learn(self, status: str, body: bytes) -> bool:
        return status == "200" and self._expected in body


def client_credentials(wire: Wire, *, secret: str) -> Same:
    form = {"grant_type": "client_credentials"}
    return Same("client_credentials", wire.post("/oauth/token", form, authorization=_basic(secret)), expected=b'"access_token"')


def introspection(wire: Wire, *, secret: str, access_token: str) -> Same:
    request = wire.post("/oauth/introspect", {"token": access_token}, authorization=_basic(secret))
    return Same("introspection", request, expected=b'"active":true')


def jwks(wire: Wire) -> Same:
    return Same("jwks", wire.get("/.well-known/jwks.json"), expected=b'"keys"')


def bare_view(wire: Wire) -> Same:
    return Same("bare_view", wire.get("/bare"), expected=b'"status"')


def refresh_token_of(body: bytes) -> bytes | None:
    match = _REFRESH_TOKEN.search(body)
    return None if match is None else match[1]


def access_token_of(body: bytes) -> str:
    return str(json.loads(body)["access_token"])


def users_of(connection: int, *, connections: int, users: int) -> Iterator[int]:
    """Every `connections`-th user, over and over: no two connections sign in the same one at once."""
    return cycle(range(connection % users, users, connections))


def _basic(secret: str) -> str:
    return "Basic " + base64.b64encode(f"{quote(SERVICE)}:{quote(secret)}".encode()).decode()
