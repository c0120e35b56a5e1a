"""Who acts, and from where, as it is recorded."""

import getpass
import os
import socket
from typing import TypedDict
from uuid import UUID

from django.http import HttpRequest

from accounts.models import User


class Actor(TypedDict):
    """What an audit event says of whoever did it: `audit.record(event, **actor)`."""

    actor_id: UUID | None
    address: str | None
    user_agent: str


NOBODY = Actor(actor_id=None, address=None, user_agent="")  # the server by itself


def actor_of(request: HttpRequest) -> Actor:
    """The person who is signed in to the browser that sent this request."""
    user = request.user
    return Actor(
        actor_id=user.pk if isinstance(user, User) else None,
        address=request.META.get("authserver.address"),
        user_agent=user_agent(request),
    )


def person_of(request: HttpRequest) -> User:
    """Who is signed in to that browser, for pages that ask for it before anything else."""
    assert isinstance(request.user, User)  # noqa: S101 - for the type checker
    return request.user


def at_the_console() -> Actor:
    """Who typed a command of manage.py, as the operating system knows them: it has no user of this server."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that has no name
        name = f"uid {os.getuid()}"
    return Actor(actor_id=None, address=None, user_agent=f"manage.py, by {name} on {socket.gethostname()}"[:200])


def user_agent(request: HttpRequest) -> str:
    """What the client calls itself, fit to be stored: header bytes come in as Latin-1 and may be anything."""
    text = request.META.get("HTTP_USER_AGENT", "")[:200]
    return text if text.isprintable() else "".join(character if character.isprintable() else "?" for character in text)
