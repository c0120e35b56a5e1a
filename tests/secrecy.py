"""No secret that the tests make reaches a log: all lines are gathered, all secrets remembered, and in the end these looked for in those.

They are looked for as they are, as JSON writes them, URL-encoded, and in Basic credentials.
"""

import base64
import copy
import json
import logging
import os
import secrets
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import quote, quote_plus

from django.conf import settings
from django.http import HttpResponse
from django.test import Client as Browser

from authserver.logs import JSONFormatter

# Shorter ones are words that a line may well say for another reason.
LEAST_LENGTH = 10
_PROBE = 8
_STRIDE = LEAST_LENGTH - _PROBE + 1

NOT_GATHERED = {
    "django.db.backends": "SQL at DEBUG carries its parameters; the settings never let it through (test_logs.py)",
    "httpx": "the tests' own client",
    "httpcore": "the tests' own client",
    "requests_oauthlib": "a client under test, which prints what it sends",
    "urllib3": "the tests' own client",
    "hypothesis": "it prints what it generates",
    "asyncio": "of the tests' own servers",
}

SECRET_MEMBERS = ("access_token", "refresh_token", "id_token", "client_secret", "device_code", "user_code")
SECRET_SETTINGS = ("SECRET_KEY", "TOKEN_KEYS", "KEY_ENCRYPTION_KEYS")


@dataclass(frozen=True)
class Leak:
    """Where a secret was found. Its value is not told again."""

    kind: str
    logger: str
    test: str

    def __str__(self) -> str:
        return f"{self.kind} in a line of the logger {self.logger}, during {self.test or 'no test'}"


class Ledger:
    """The secrets that were made so far."""

    def __init__(self) -> None:
        self._kinds: dict[str, str] = {}

    def remember(self, kind: str, value: str | None, *, client_id: str = "") -> None:
        if not value or len(value) < LEAST_LENGTH:
            return
        forms = {
            value,
            value.rpartition(".")[2] if value.count(".") == 2 else value,
            json.dumps(value)[1:-1],
            json.dumps(value, ensure_ascii=False)[1:-1],
            quote(value, safe=""),
            quote_plus(value),
        }
        if client_id:
            forms.add(base64.b64encode(f"{quote_plus(client_id)}:{quote_plus(value)}".encode()).decode())
        for form in forms:
            self._kinds.setdefault(form, kind)

    def __len__(self) -> int:
        return len(self._kinds)

    def leaks(self, lines: Path) -> list[Leak]:
        """One for each kind of secret in each logger's lines, in a file that `Gathering` wrote."""
        # By each of its first probes: then it is enough to look at every third place of a line, which is most of the time.
        probes: dict[str, list[tuple[str, int]]] = {}
        for value in self._kinds:
            for offset in range(_STRIDE):
                probes.setdefault(value[offset : offset + _PROBE], []).append((value, offset))
        found: dict[tuple[str, str], Leak] = {}
        with lines.open(encoding="utf-8") as file:
            for line in file:
                test, logger, text = line.split("\t", 2)
                for at in range(0, len(text) - _PROBE + 1, _STRIDE):
                    for value, offset in probes.get(text[at : at + _PROBE], ()):
                        if at >= offset and text.startswith(value, at - offset):
                            kind = self._kinds[value]
                            found.setdefault((kind, logger), Leak(kind, logger, test))
        return [*found.values()]


class Gathering:
    """Everything that any logger is given, whatever its level: the test, the logger, and the line as it would be written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("w", encoding="utf-8", errors="backslashreplace")
        self._formatter = JSONFormatter()
        self._lock = threading.Lock()

    def take(self, record: logging.LogRecord) -> None:
        test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0].replace("\t", " ")
        line = "\t".join((test, record.name, self._formatter.format(_without_stack(record))))
        with self._lock:
            self._file.write(line + "\n")

    def close(self) -> None:
        self._file.close()


def _without_stack(record: logging.LogRecord) -> logging.LogRecord:
    """Below what the settings let through, of an exception what it says: templates tell of each variable they miss with a long stack."""
    if record.levelno >= logging.INFO or not record.exc_info or record.exc_info[1] is None:
        return record
    shorter = copy.copy(record)
    shorter.exc_info, shorter.exc_text = None, None
    shorter.msg, shorter.args = f"{record.getMessage()} {[*_says(record.exc_info[1])]}", None
    return shorter


def _says(error: BaseException | None) -> Iterator[str]:
    while error is not None:
        yield "".join(traceback.format_exception_only(error))
        error = error.__cause__ or error.__context__


# Who is listening: the run, and inside it for a while a test of the search itself, of which the run then hears nothing.
_watches: list[tuple[Gathering, Ledger]] = []


@contextmanager
def watching(gathered: Gathering, ledger: Ledger) -> Iterator[None]:
    """While it lasts every log line is gathered, and what the server hands out over HTTP or draws at random is remembered."""
    _watches.append((gathered, ledger))
    try:
        with _listening() if len(_watches) == 1 else nullcontext():
            yield
    finally:
        _watches.pop()


@contextmanager
def _listening() -> Iterator[None]:
    is_enabled, handle = logging.Logger.isEnabledFor, logging.Logger.handle
    request, draw = Browser.request, secrets.token_urlsafe

    def take_all(logger: logging.Logger, level: int) -> bool:
        return not is_left_out(logger.name) or is_enabled(logger, level)

    def take(logger: logging.Logger, record: logging.LogRecord) -> None:
        if not is_left_out(logger.name):
            _watches[-1][0].take(record)
        if is_enabled(logger, record.levelno):
            handle(logger, record)

    def answer(browser: Browser, **environ: Any) -> HttpResponse:
        response = request(browser, **environ)
        remember_answer(_watches[-1][1], response, environ)
        return response

    def remember_drawn(nbytes: int | None = None) -> str:
        value = draw(nbytes)
        _watches[-1][1].remember("a text drawn at random (a client's secret, a one-time code)", value)
        return value

    with (
        mock.patch.object(logging.Logger, "isEnabledFor", take_all),
        mock.patch.object(logging.Logger, "handle", take),
        mock.patch.object(Browser, "request", answer),
        mock.patch.object(secrets, "token_urlsafe", remember_drawn),
    ):
        yield


def is_left_out(logger: str) -> bool:
    return any(logger == name or logger.startswith(f"{name}.") for name in NOT_GATHERED)


# Of this run.
ledger = Ledger()


def remember(kind: str, value: str | None, *, client_id: str = "") -> None:
    """For whoever is listening now."""
    _watches[-1][1].remember(kind, value, client_id=client_id)


def remember_settings(ledger: Ledger) -> None:
    for name in SECRET_SETTINGS:
        value = getattr(settings, name)
        for each in (value,) if isinstance(value, str) else value:
            ledger.remember(f"the setting {name}", each)


def remember_answer(ledger: Ledger, response: HttpResponse, environ: dict[str, Any]) -> None:
    """Cookies of either side, what was sent in Authorization, and the secret members of a JSON answer."""
    for cookie in response.cookies.values():
        ledger.remember("a cookie", cookie.value)
    _, _, credentials = str(environ.get("HTTP_AUTHORIZATION", "")).partition(" ")
    ledger.remember("credentials in Authorization", credentials)
    if not response.streaming and response.get("Content-Type", "").startswith("application/json"):
        body = json.loads(response.content or b"null")
        for name in SECRET_MEMBERS if isinstance(body, dict) else ():
            for value in body.get(name) if isinstance(body.get(name), list) else [body.get(name)]:
                ledger.remember(f"the {name} of an answer", value if isinstance(value, str) else None)
