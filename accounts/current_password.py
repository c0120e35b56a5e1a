"""The current password of who is signed in at a browser, asked for again at the door where all attempts are counted."""

from typing import Literal

from django.db import transaction

from accounts import audit, authentication
from accounts.actors import Actor
from accounts.authentication import AuthenticationFailed, Door
from accounts.hash_slots import Full
from accounts.lockout import Busy, Locked
from accounts.models import User


class WrongPassword(Exception):
    """It is not theirs, or they may not sign in any more; the attempt is counted."""


class TooManyAttempts(Exception):
    """The name is locked, or the server has no time for another hash."""


def verify(user: User, *, password: str, door: Literal["browser", "admin"], actor: Actor) -> User:
    """The user as they are now. Raises WrongPassword, TooManyAttempts, throttling.Throttled."""
    here = Door(door, address=actor["address"], user_agent=actor["user_agent"])
    try:
        # SECURITY: where attempts are counted, or a browser that was left open is a place to guess at.
        authenticated = authentication.authenticate(user.username, password=password, door=here)
        with transaction.atomic():
            authentication.accept(authenticated)
    except AuthenticationFailed as failure:
        if failure.to_record:
            detail = {"door": door} | failure.detail
            audit.record("user:sign_in:failed", target=user.pk, detail=detail, **actor | {"actor_id": None})
        raise WrongPassword from None
    except (Locked, Busy, Full):
        raise TooManyAttempts from None
    if authenticated.user.pk != user.pk:  # the name went to somebody else meanwhile
        raise WrongPassword
    return authenticated.user
