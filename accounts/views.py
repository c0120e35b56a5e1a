"""The page that takes the code from a mail. Looking at it uses nothing up: mail scanners follow links."""

import logging

from django.db import InterfaceError, InternalError, OperationalError, connection
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.shortcuts import render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods
from django.views.decorators.vary import vary_on_headers

from accounts import confirmations
from accounts.actors import actor_of
from accounts.languages import language_of
from accounts.one_time_tokens import InvalidCode

TEXTS = {
    "en": {
        "title": "Confirm your e-mail address",
        "intro": "Press the button to use this address for your account. If the field is empty, paste the code from the mail.",
        "label": "Code",
        "button": "Confirm",
        "done": "Done. Your account has the new e-mail address. You can close this page.",
        "refused": "This code does not work. It is mistyped, used, or older than half an hour. Ask for another one in your application.",
        "away": "The server cannot answer right now. Try again shortly: the code still works.",
    },
    "ru": {
        "title": "Подтверждение адреса",
        "intro": "Нажмите кнопку, чтобы использовать этот адрес для своей учётной записи. Если поле пустое, вставьте код из письма.",
        "label": "Код",
        "button": "Подтвердить",
        "done": "Готово. Новый адрес теперь принадлежит вашей учётной записи. Эту страницу можно закрыть.",
        "refused": "Этот код не подходит: в нём опечатка, он уже использован или старше получаса. Запросите новый в приложении.",
        "away": "Сервер сейчас не может ответить. Попробуйте ещё раз чуть позже: код всё ещё действует.",
    },
}

logger = logging.getLogger("authserver.refusals")


@sensitive_post_parameters("code")
@vary_on_headers("Accept-Language")
@require_http_methods(["GET", "HEAD", "POST"])
def confirm_email(request: HttpRequest) -> HttpResponse:
    """GET and POST /confirm-email: the form, and what became of its code."""
    if request.method != "POST":
        return _page(request, "form")
    try:
        confirmations.confirm(request.POST.get("code", ""), language=language_of(request), actor=actor_of(request))
    except InvalidCode as refusal:
        logger.info("a code was refused", extra={"reason": refusal.reason})
        return _page(request, "refused", status=400)
    except UnreadablePostError:
        return _page(request, "refused", status=400)
    except (OperationalError, InterfaceError, InternalError):
        if not connection.in_atomic_block:
            connection.close()
        return _page(request, "away", status=503)
    return _page(request, "done")


def _page(request: HttpRequest, state: str, *, status: int = 200) -> HttpResponse:
    language = language_of(request)
    texts = TEXTS[language]
    response = render(
        request, "confirm_email.html", {"state": state, "texts": texts, "message": texts.get(state), "language": language}, status=status
    )
    response["Content-Language"] = language
    if status == 503:
        response["Retry-After"] = "2"
    return response
