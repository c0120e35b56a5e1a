"""The page on which people let a device in (RFC 8628 §3.3): they type its code, see who asks, and decide."""

import io
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any

import qrcode
from django.contrib.auth.decorators import login_required
from django.core import signing
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods
from qrcode.image.svg import SvgPathImage

from accounts import browser_proof, clock, throttling
from accounts.actors import actor_of, person_of
from accounts.recent_sign_in import ask_again
from accounts.throttling import REQUESTS, Throttled
from oauth import ceilings, device_codes, scope_texts, user_codes
from oauth.device_codes import UnknownCode
from oauth.errors import InvalidRequest
from oauth.http import NO_STORE, only, renders_oauth_errors
from oauth.models import DeviceCode

_SALT = "oauth.device_views"

View = Callable[[HttpRequest], HttpResponse]


def _asks_staff_for_a_second_factor(view: View) -> View:
    @wraps(view)
    def wrapped(request: HttpRequest) -> HttpResponse:
        # SECURITY: as everywhere, who can change the server needs more than a password.
        if browser_proof.must_be_stronger(request):
            return ask_again(request) if person_of(request).has_second_factor else redirect("mfa_index")
        return view(request)

    return wrapped


def _answers_with_pages(view: View) -> View:
    @wraps(view)
    def wrapped(request: HttpRequest) -> HttpResponse:
        try:
            return view(request)
        except (UnknownCode, signing.BadSignature):
            text = _("No device is waiting under this code. It is mistyped, used already, or older than ten minutes.")
            return _page(request, "ask", status=400, message=text, user_code=request.POST.get("user_code", "")[:32])
        except Throttled as throttled:
            response = _page(request, "ask", status=429, message=_("There were too many tries. Wait a few minutes and try again."))
            response["Retry-After"] = str(throttled.seconds)
            return response

    return wrapped


@sensitive_post_parameters("user_code", "shown")
@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@_asks_staff_for_a_second_factor
@_answers_with_pages
def device(request: HttpRequest) -> HttpResponse:
    """GET and POST /oauth/device. A code that comes with the address is filled in, and nothing is asked about it (§3.3.1)."""
    if request.method != "POST":
        return _page(request, "ask", user_code=_readable(request.GET.get("user_code", "")))
    if "decision" in request.POST:
        return _decide(request)
    waiting = device_codes.enter(request.POST.get("user_code", ""), user=person_of(request), actor=actor_of(request))
    return _confirmation(request, waiting)


@renders_oauth_errors
@only("GET", "HEAD")
def picture(request: HttpRequest) -> HttpResponse:
    """GET /oauth/device/qr: the address of the page with the code filled in, as a QR code. It tells nothing about the code."""
    try:
        throttling.take(REQUESTS, address=request.META["authserver.address"])
        user_code = user_codes.parse(request.GET.get("user_code", ""))
    except Throttled as throttled:
        raise ceilings.as_refusal(throttled) from throttled
    except user_codes.Malformed:
        raise InvalidRequest("user_code is missing, or no code of this server.") from None
    drawing = io.BytesIO()
    qrcode.make(device_codes.verification_uri(user_code), image_factory=SvgPathImage).save(drawing)
    return HttpResponse(drawing.getvalue(), content_type="image/svg+xml", headers=NO_STORE)


def _decide(request: HttpRequest) -> HttpResponse:
    user, actor = person_of(request), actor_of(request)
    # SECURITY: for the device that was shown to this very person, not for whatever code a form may hold.
    user_code, shown_to = signing.loads(request.POST.get("shown", ""), salt=_SALT, max_age=device_codes.LIFETIME)
    if shown_to != str(user.pk):
        raise UnknownCode("shown to somebody else")
    waiting = device_codes.find_waiting(user_code)
    # SECURITY: whatever is not a plain yes is a no.
    if request.POST["decision"] == "approve":
        device_codes.approve(waiting, user=user, proof=browser_proof.of(request), actor=actor)
        return _page(request, "approved", device=waiting)
    device_codes.deny(waiting, user=user, actor=actor)
    return _page(request, "denied", device=waiting)


def _confirmation(request: HttpRequest, waiting: DeviceCode) -> HttpResponse:
    user_code = user_codes.parse(request.POST["user_code"])
    context: dict[str, Any] = {
        "device": waiting,
        "user_code": user_code,
        "permissions": scope_texts.explained(waiting.scope),
        "now": clock.now(),
        "is_new": clock.now() - waiting.created_at < timedelta(minutes=1),
        "shown": signing.dumps([user_code, str(person_of(request).pk)], salt=_SALT),
    }
    return _page(request, "confirm", **context)


def _page(request: HttpRequest, state: str, *, status: int = 200, **context: Any) -> HttpResponse:
    return render(request, "device.html", {"state": state, **context}, status=status)


def _readable(typed: str) -> str:
    """A code as it is shown; nothing when it cannot be one."""
    try:
        return user_codes.parse(typed)
    except user_codes.Malformed:
        return ""
