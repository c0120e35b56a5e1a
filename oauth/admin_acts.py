"""What the acts of staff on people's sessions have in common: whom they may be done to, and what they do not reach."""

from collections.abc import Sequence

from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import gettext

from accounts import users
from accounts.careful_admin import CarefulAdmin
from accounts.models import User


def are_staff_alone_for_superusers(pages: CarefulAdmin, request: HttpRequest, people: Sequence[User]) -> bool:
    """Whether somebody is among them whom the person at the browser may not touch; that is told them, and nothing done."""
    assert isinstance(request.user, User)  # noqa: S101 - for the type checker
    out_of_reach = sorted({str(user) for user in people if not users.may_touch(request.user, user)})
    if out_of_reach:
        text = gettext("Only a superuser may do this to staff: %(names)s. Nothing was done.")
        pages.message_user(request, text % {"names": ", ".join(out_of_reach)}, "error")
    return bool(out_of_reach)


def what_goes_on() -> tuple[str, ...]:
    minutes = int(settings.ACCESS_TOKEN_LIFETIME.total_seconds() / 60)
    text = gettext(
        "This server refuses their tokens at the next request. A service that verifies access tokens by itself "
        "goes on taking those that are out until they expire, after %(minutes)d minutes at most."
    )
    return (text % {"minutes": minutes},)
