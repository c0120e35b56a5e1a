"""A device that asks to be let in, and the person at their browser."""

from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.test import Client as Browser

from oauth.models import DEVICE_CODE, DeviceCode
from tests.staff import let_in, token_in

PATH = "/oauth/device_authorization"
PAGE = "/oauth/device"


def ask(post: Any, *, client_id: str = "console", **extra: str) -> Any:
    """The device asks for its codes."""
    headers = {name: extra.pop(name) for name in [*extra] if name.isupper()}
    return post({"client_id": client_id} | extra, path=PATH, **headers)


def poll(post: Any, device_code: str, *, client_id: str = "console", **extra: str) -> Any:
    return post({"grant_type": DEVICE_CODE, "device_code": device_code, "client_id": client_id} | extra)


def browser_of(user: Any, *, ago: timedelta = timedelta(0)) -> Browser:
    browser = Browser(enforce_csrf_checks=True, raise_request_exception=False)
    let_in(browser, user, ago=ago)
    return browser


def type_code(browser: Browser, user_code: str, **extra: Any) -> Any:
    """Fill in the form of the page as a person does."""
    token = token_in(browser.get(PAGE))
    return browser.post(PAGE, {"user_code": user_code, "csrfmiddlewaretoken": token}, **extra)


def decide(browser: Browser, confirmation: Any, decision: str) -> Any:
    """Press a button of the confirmation."""
    form = {"shown": confirmation.context["shown"], "decision": decision, "csrfmiddlewaretoken": token_in(confirmation)}
    return browser.post(PAGE, form)


def let_device_in(user: Any, user_code: str, *, ago: timedelta = timedelta(0)) -> None:
    browser = browser_of(user, ago=ago)
    assert decide(browser, type_code(browser, user_code), "approve").status_code == 200


def row() -> DeviceCode:
    return DeviceCode.objects.get()


def query_of(uri: str) -> dict[str, list[str]]:
    return parse_qs(urlsplit(uri).query)
