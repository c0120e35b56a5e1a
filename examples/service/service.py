"""A service that calls another one with a token of its own: AUTH_ISSUER=http://localhost:8003 … python service.py

Standard library only. `Tokens` asks for a token when it needs one and keeps it until shortly before it expires.
"""

import base64
import json
import os
import threading
import time
from typing import Any
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

EARLY_SECONDS = 30  # a token that expires on its way helps nobody


class Tokens:
    """The tokens of one service (RFC 6749 §4.4). Safe to share between threads."""

    def __init__(self, issuer: str, client_id: str, client_secret: str, *, scope: str) -> None:
        self._metadata_url = f"{issuer.rstrip('/')}/.well-known/oauth-authorization-server"
        # Both parts are form-encoded before they become Basic (RFC 6749 §2.3.1).
        credentials = f"{quote(client_id, safe='')}:{quote(client_secret, safe='')}".encode()
        self._headers = {"Authorization": f"Basic {base64.b64encode(credentials).decode()}"}
        self._form = urlencode({"grant_type": "client_credentials", "scope": scope}).encode()
        self._lock = threading.Lock()
        self._value, self._expires_at, self._endpoint = "", 0.0, ""

    def get(self) -> str:
        """A token that is good for a while. Raises HTTPError, URLError."""
        with self._lock:
            if time.monotonic() >= self._expires_at:
                asked_at = time.monotonic()
                self._endpoint = self._endpoint or _json(Request(self._metadata_url))["token_endpoint"]  # noqa: S310 - the issuer's
                answer = _json(Request(self._endpoint, self._form, self._headers))  # noqa: S310 - the issuer's
                self._value, self._expires_at = answer["access_token"], asked_at + answer["expires_in"] - EARLY_SECONDS
            return self._value


def _json(request: Request) -> dict[str, Any]:
    with urlopen(request, timeout=20) as response:  # noqa: S310 - the issuer's
        body: dict[str, Any] = json.load(response)
        return body


if __name__ == "__main__":
    issuer = os.environ["AUTH_ISSUER"]
    tokens = Tokens(issuer, os.environ["AUTH_CLIENT_ID"], os.environ["AUTH_CLIENT_SECRET"], scope="api:read")
    for _ in range(2):  # the second call needs no new token
        # Call your own API here; this address only says whose token it is.
        call = Request(f"{issuer.rstrip('/')}/oauth/verify", headers={"Authorization": f"Bearer {tokens.get()}"})  # noqa: S310 - the issuer's
        with urlopen(call, timeout=20) as response:  # noqa: S310 - the issuer's
            print(f"Called as {response.headers['X-Auth-Subject']}.", flush=True)  # noqa: T201 - it talks to a person
