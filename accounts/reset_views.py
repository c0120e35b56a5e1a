"""The pages for who has forgotten the password: one takes the address, the other the code from the mail and a new password."""

import logging
from collections.abc import Callable
from typing import Any

from django.db import InterfaceError, InternalError, OperationalError, connection
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from django.shortcuts import render
from django.utils import translation
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods
from django.views.decorators.vary import vary_on_headers

from accounts import email_change, outbox, password_reset, passwords, throttling
from accounts.actors import actor_of
from accounts.hash_slots import Full
from accounts.identifiers import InvalidIdentifier
from accounts.languages import language_of
from accounts.one_time_tokens import InvalidCode

TEXTS: dict[str, dict[str, str]] = {
    "en": {
        "title": "Set a new password",
        "ask": "Enter the e-mail address of your account. If there is an account with it, a mail with a code is sent there.",
        "email": "E-mail address",
        "send": "Send the mail",
        "sent": "If there is an account with this address, a mail is on its way. It tells you what to do next.",
        "choose": "Enter the code from the mail, and a new password of 8 characters or more. You will be signed out everywhere.",
        "code": "Code",
        "password": "New password",
        "again": "New password again",
        "set": "Set the password",
        "done": "Done. You can sign in with the new password now, and close this page.",
        "invalid_email": "This is no e-mail address. Enter one such as alice@example.com.",
        "differ": "The two passwords differ. Enter the same one twice.",
        "invalid_code": "This code does not work. It is mistyped, used, or older than half an hour. Ask for another one.",
        "throttled": "There were too many tries from your address. Wait a few minutes and try again.",
        "away": "The server cannot answer right now. Try again shortly.",
        "another": "Ask for another code",
    },
    "ru": {
        "title": "Новый пароль",
        "ask": "Введите адрес электронной почты вашей учётной записи. Если такая запись есть, на него придёт письмо с кодом.",
        "email": "Адрес электронной почты",
        "send": "Отправить письмо",
        "sent": "Если учётная запись с этим адресом есть, письмо уже отправляется. В нём сказано, что делать дальше.",
        "choose": "Введите код из письма и новый пароль, не короче 8 символов. Все ваши сеансы завершатся.",
        "code": "Код",
        "password": "Новый пароль",
        "again": "Новый пароль ещё раз",
        "set": "Сменить пароль",
        "done": "Готово. Теперь можно войти с новым паролем. Эту страницу можно закрыть.",
        "invalid_email": "Это не адрес электронной почты. Введите адрес вида alice@example.com.",
        "differ": "Пароли не совпадают. Введите один и тот же пароль дважды.",
        "invalid_code": "Код не подходит: он введён с ошибкой, уже использован или старше получаса. Запросите новый.",
        "throttled": "С вашего адреса было слишком много попыток. Подождите несколько минут и попробуйте снова.",
        "away": "Сервер сейчас не может ответить. Попробуйте чуть позже.",
        "another": "Запросить другой код",
    },
}

logger = logging.getLogger("authserver.refusals")


class Wrong(Exception):
    """What the person at the page has to do otherwise: the name of a text, or a text of the password policy."""


@vary_on_headers("Accept-Language")
@require_http_methods(["GET", "HEAD", "POST"])
def request_reset(request: HttpRequest) -> HttpResponse:
    """GET and POST /password-reset."""
    return _answer(request, "ask", _request)


@sensitive_post_parameters("code", "password", "again")
@vary_on_headers("Accept-Language")
@require_http_methods(["GET", "HEAD", "POST"])
def confirm_reset(request: HttpRequest) -> HttpResponse:
    """GET and POST /password-reset/confirm. Looking at it uses nothing up."""
    return _answer(request, "choose", _confirm)


def _request(request: HttpRequest) -> str:
    email = request.POST.get("email", "")
    email_change.ensure_deliverable(email)
    throttling.take(throttling.MAILS, address=request.META["authserver.address"])
    password_reset.request(email, language=language_of(request), actor=actor_of(request))
    return "sent"


def _confirm(request: HttpRequest) -> str:
    password = request.POST.get("password", "")
    if password != request.POST.get("again", ""):
        raise Wrong("differ")
    throttling.take(throttling.MAILS, address=request.META["authserver.address"])
    language, actor = language_of(request), actor_of(request)
    with translation.override(language):  # the reasons of the password policy are Django's, in the language of the page
        password_reset.confirm(request.POST.get("code", ""), password=password, language=language, actor=actor)
    return "done"


def _answer(request: HttpRequest, form: str, act: Callable[[HttpRequest], str]) -> HttpResponse:
    if not outbox.is_set_up():
        raise Http404
    if request.method != "POST":
        return _page(request, form)
    try:
        return _page(request, act(request))
    except (Wrong, InvalidIdentifier, InvalidCode, passwords.Refused, throttling.Throttled, Full, UnreadablePostError) as refusal:
        return _refuse(request, form, refusal)
    except (OperationalError, InterfaceError, InternalError):
        connection.close()
        return _page(request, form, message="away", status=503)


def _refuse(request: HttpRequest, form: str, refusal: Exception) -> HttpResponse:
    match refusal:
        case passwords.Refused():
            return _page(request, form, reasons=refusal.reasons, status=400)
        case Wrong():
            return _page(request, form, message=str(refusal), status=400)
        case InvalidCode():
            logger.info("a code was refused", extra={"reason": refusal.reason})
            return _page(request, form, message="invalid_code", status=400)
        case throttling.Throttled():
            return _page(request, form, message="throttled", status=429, retry_after=refusal.seconds)
        case Full():
            return _page(request, form, message="away", status=503)
        case _:
            return _page(request, form, message="invalid_email" if form == "ask" else "invalid_code", status=400)


def _page(
    request: HttpRequest, state: str, *, message: str = "", reasons: list[str] | None = None, status: int = 200, retry_after: int = 2
) -> HttpResponse:
    language = language_of(request)
    texts = TEXTS[language]
    messages = reasons or ([texts[message]] if message else [])
    context: dict[str, Any] = {"state": state, "texts": texts, "text": texts[state], "reasons": messages, "language": language}
    context["offers_another"] = message == "invalid_code"
    # Else it is still good, and no longer in the address bar.
    context["code"] = "" if message == "invalid_code" else request.POST.get("code", "")
    response = render(request, "password_reset.html", context, status=status)
    response["Content-Language"] = language
    if status in {429, 503}:
        response["Retry-After"] = str(retry_after)
    return response
