"""For the tests of services: an issuer on loopback, with keys of its own, that publishes them over HTTP and signs what it is told to."""

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from authserver_verifier.checking import Rules
from authserver_verifier.key_cache import CachePolicy
from authserver_verifier.verifier import Verifier

AUDIENCE = "codelab-api"
PATIENT = CachePolicy(patience=20, fetch_limit=20)  # what is slow is the machine of the tests
ABSENT = object()  # as a claim or a member of the header: leave it out


class SigningKey:
    """An RSA key under a kid."""

    def __init__(self, kid: str = "") -> None:
        self.private_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.kid = kid or uuid4().hex

    @property
    def public_jwk(self) -> dict[str, Any]:
        members: dict[str, Any] = RSAAlgorithm.to_jwk(self.private_key.public_key(), as_dict=True)
        return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.kid, "n": members["n"], "e": members["e"]}


class LocalIssuer:
    """Use it in a `with` block.

    `keys` are published and the first of them signs; changing the list is a rotation. `answer` is called for each request for the
    key set and may be replaced, by one that is slow or sends something else. `requests` holds the status of each answer so far.
    """

    def __init__(self, *keys: SigningKey) -> None:
        self.keys = list(keys) or [SigningKey()]
        self.max_age = 3600
        self.requests: list[int] = []
        self.answer: Callable[[KeySetRequest], None] = KeySetRequest.publish
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), KeySetRequest)
        self._server.daemon_threads = True
        self._server.issuer = self  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def rules(self) -> Rules:
        return Rules(self.url, AUDIENCE)

    def verifier(self, *, policy: CachePolicy = PATIENT, **rules: Any) -> Verifier:
        """One for the tokens of this issuer, with these rules changed."""
        return Verifier(replace(self.rules, **rules), policy=policy)

    def document(self) -> bytes:
        return json.dumps({"keys": [key.public_jwk for key in self.keys]}).encode()

    def mint(self, *, key: SigningKey | None = None, header: dict[str, Any] | None = None, lifetime: int = 900, **claims: Any) -> str:
        """A token as authserver makes them, with these claims and members of the header changed."""
        key, now = key or self.keys[0], int(time.time())
        usual = {"iss": self.url, "sub": str(uuid4()), "aud": AUDIENCE, "client_id": "test-client", "scope": "api:read api:write"}
        times = {"iat": now, "exp": now + lifetime, "nbf": now - 30}
        body = _without_absent(usual | times | {"jti": uuid4().hex, "type": "access"} | claims)
        full_header = _without_absent({"alg": "RS256", "typ": "at+jwt", "kid": key.kid} | (header or {}))
        signed = f"{encode(full_header)}.{encode(body)}".encode()
        return f"{signed.decode()}.{b64(jwt.get_algorithm_by_name('RS256').sign(signed, key.private_key))}"


class KeySetRequest(BaseHTTPRequestHandler):
    """One request for the key set."""

    protocol_version = "HTTP/1.1"
    timeout = 20

    @property
    def issuer(self) -> LocalIssuer:
        found: LocalIssuer = self.server.issuer  # type: ignore[attr-defined]
        return found

    def do_GET(self) -> None:
        if self.path == "/.well-known/jwks.json":
            self.issuer.answer(self)
        else:
            self.send_error(404)

    def publish(self) -> None:
        """The honest answer: the keys, or 304 to who has them already."""
        body = self.issuer.document()
        etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        headers = {"Cache-Control": f"public, max-age={self.issuer.max_age}", "ETag": etag}
        if self.headers.get("If-None-Match") == etag:
            self.send(304, b"", **headers)
        else:
            self.send(200, body, **headers)

    def send(self, status: int, body: bytes, **headers: str) -> None:
        self.issuer.requests.append(status)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed."""


def encode(members: dict[str, Any]) -> str:
    return b64(json.dumps(members, separators=(",", ":")).encode())


def b64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def _without_absent(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not ABSENT}
