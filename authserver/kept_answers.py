"""The public documents' answers, kept for as long as the signing keys stay as they are: who asks the same again skips Django.

Gateways and verifiers ask for the key set again and again, and the way through middleware, URLs and view costs twice what a Django
view of nothing does. An answer is kept whole, as that way made it, under all that it depended on.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError

from accounts.addresses import is_trusted_proxy
from authserver.middleware import request_id
from oauth import key_set_use, keys

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]
Question = tuple[str, str, bool, str]

KEY_SET = "/.well-known/jwks.json"
PATHS = frozenset({KEY_SET, "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"})
MOST = 64  # answers of one view of the keys: who asks under ever new ETags gets no memory for it


@dataclass(frozen=True)
class Answer:
    """As `start_response` was told it, without the id of the request that it was made for."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes


class KeptAnswers:
    """A WSGI application around another, for the paths of PATHS."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._kept: tuple[object, dict[Question, Answer]] = (None, {})  # the view of the keys, and the answers under it

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        question = _question(environ)
        if question is None:
            return self._application(environ, start_response)
        try:
            view = keys.ring.view()
        except (DatabaseError, InterfaceError):
            return self._application(environ, start_response)  # and says so in the words of the wire
        of_view, answers = self._kept
        if of_view is not view:
            answers = {}
            self._kept = view, answers
        answer = answers.get(question)
        if answer is None:
            return self._ask(environ, start_response, question=question, answers=answers)
        if question[0] == KEY_SET:
            key_set_use.tally.note(int(answer.status[:3]))
        start_response(answer.status, [*answer.headers, ("X-Request-ID", request_id(environ))])
        return [answer.body]

    def _ask(self, environ: dict[str, Any], start_response: Any, *, question: Question, answers: dict[Question, Answer]) -> Iterable[bytes]:
        began: list[tuple[str, list[tuple[str, str]]]] = []
        response = self._application(environ, lambda status, headers, error=None: began.append((status, headers)))
        try:
            body = b"".join(response)
        finally:
            if hasattr(response, "close"):
                response.close()
        [(status, headers)] = began
        # SECURITY: a refusal is looked into each time, and a kept answer is never somebody's own.
        if status[:3] in {"200", "304"} and len(answers) < MOST:
            answers[question] = Answer(status, [each for each in headers if each[0] != "X-Request-ID"], body)
        start_response(status, headers)
        return [body]


def _question(environ: dict[str, Any]) -> Question | None:
    """All that the answer depends on, or None for a request that is asked in another way than verifiers do."""
    path, host = environ["PATH_INFO"], environ.get("HTTP_HOST")
    if path not in PATHS or environ["REQUEST_METHOD"] != "GET" or host is None or environ.get("SCRIPT_NAME"):
        return None
    # SECURITY: as the Gate settles it: what comes in clear is not answered with what was kept for HTTPS.
    is_secure = environ["wsgi.url_scheme"] == "https" or (
        environ.get("HTTP_X_FORWARDED_PROTO") == "https"
        and is_trusted_proxy(environ.get("REMOTE_ADDR", ""), trusted=settings.TRUSTED_PROXIES)
    )
    return path, host, is_secure, environ.get("HTTP_IF_NONE_MATCH", "")
