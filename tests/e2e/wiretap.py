"""What is secret among all that a client sends and is sent: noted while it passes, to be looked for in the server's log afterwards."""

import base64
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlsplit

import httpx

from tests.secrecy import LEAST_LENGTH, Ledger

# Members of forms, of JSON and of addresses.
SECRET_NAMES = frozenset(
    {
        *("password", "current_password", "new_password", "new_password1", "new_password2", "password1", "password2", "old_password"),
        *("client_secret", "access_token", "refresh_token", "id_token", "id_token_hint", "token", "code", "code_verifier"),
        *("device_code", "user_code", "state", "nonce", "csrfmiddlewaretoken", "request", "shown"),
    }
)
_HIDDEN = re.compile(r'name="(csrfmiddlewaretoken|request|shown)" value="([^"]+)"')
_SHOWN = re.compile(r'id="totp-secret"[^>]*>\s*(\w+)|<li>([0-9a-z]{6,}[0-9a-z -]*)</li>')


class Wiretap:
    """Hooks for httpx. `refused` are the answers that carry an error_id, with the id of their request."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.refused: dict[str, str] = {}
        self.statuses: set[int] = set()
        self.kinds: set[str] = set()

    @property
    def hooks(self) -> dict[str, list[Any]]:
        return {"request": [self.sends], "response": [self.is_sent]}

    def sends(self, request: httpx.Request) -> None:
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        self.note("Authorization", credentials)
        if scheme == "Basic":
            self._note_basic(credentials)
        for cookie in request.headers.get("Cookie", "").split("; "):
            self.note("a cookie", cookie.partition("=")[2])
        self.note("an Idempotency-Key", request.headers.get("Idempotency-Key", ""))
        self._note_address(str(request.url))
        self._note_body(request.read().decode(errors="replace"), request.headers.get("Content-Type", ""))

    def is_sent(self, response: httpx.Response) -> None:
        response.read()
        self.statuses.add(response.status_code)
        for header in response.headers.get_list("Set-Cookie"):
            self.note("a cookie", header.partition("=")[2].partition(";")[0])
        self._note_address(response.headers.get("Location", ""))
        self._note_body(response.text, response.headers.get("Content-Type", ""))
        if response.headers.get("Content-Type", "").startswith("application/json"):
            body = response.json()
            if isinstance(body, dict) and "error_id" in body:
                self.refused[body["error_id"]] = response.headers["X-Request-ID"]
        elif response.headers.get("Content-Type", "").startswith("text/html"):
            for name, value in _HIDDEN.findall(response.text):
                self.note(name, value)
            for found in _SHOWN.findall(response.text):
                self.note("shown on a page", "".join(found))

    def note(self, kind: str, value: Any) -> None:
        if isinstance(value, str) and len(value) >= LEAST_LENGTH:
            self.kinds.add(kind)
            self.ledger.remember(kind, value)

    def leaks(self, output: str, folder: Path) -> list[str]:
        """The kinds of secrets that stand in a server's output."""
        lines = folder / "output"
        lines.write_text("".join(f"\tthe server\t{line}\n" for line in output.splitlines()), encoding="utf-8")
        return [leak.kind for leak in self.ledger.leaks(lines)]

    def _note_basic(self, credentials: str) -> None:
        try:
            client_id, _, secret = base64.b64decode(credentials).decode().partition(":")
        except ValueError:
            return  # what is sent in a wrong form was noted as a whole
        self.kinds.add("client_secret")
        self.ledger.remember("client_secret", unquote_plus(secret), client_id=client_id)

    def _note_address(self, url: str) -> None:
        for name, value in parse_qsl(urlsplit(url).query):
            if name in SECRET_NAMES:
                self.note(name, value)

    def _note_body(self, body: str, content_type: str) -> None:
        if content_type.startswith("application/json"):
            try:
                members = json.loads(body)
            except ValueError:
                return
        elif content_type.startswith("application/x-www-form-urlencoded"):
            members = dict(parse_qsl(body))
        else:
            return
        for name, value in members.items() if isinstance(members, dict) else ():
            if name in SECRET_NAMES:
                self.note(name, value)
