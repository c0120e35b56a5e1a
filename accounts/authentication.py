"""Verify who someone is by user name or e-mail and password, with the same work whatever is wrong."""

import logging
from dataclasses import dataclass
from typing import Any, Literal

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.hashers import BasePasswordHasher, get_hasher, identify_hasher, make_password
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest

from accounts import audit, identifiers, passwords, roles
from accounts.clock import Instant
from accounts.models import User
from accounts.reconnect import with_reconnect

logger = logging.getLogger(__name__)


class AuthenticationFailed(Exception):
    """Raised for whatever is wrong; `reason` is for the log alone."""

    def __init__(
        self,
        reason: Literal["unknown user", "wrong password", "disabled user", "password too long", "changed meanwhile", "not staff"],
        *,
        user: User | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.user = user


@dataclass(frozen=True)
class Authenticated:
    """Someone who proved who they are, and the roles they had at that moment."""

    user: User
    role_names: tuple[str, ...]


def authenticate(identifier: str, *, password: str) -> Authenticated:
    """The active user with this identifier and password; a hash of older cost is renewed.

    Raises AuthenticationFailed. An unknown, disabled or passwordless user costs the same hash as a wrong password.
    """
    if passwords.is_too_long(password):
        raise AuthenticationFailed("password too long")
    found = _find(identifier)
    user = None if found is None else found.user
    hasher = None if user is None else _hasher_of(user)
    if found is None or user is None or hasher is None:
        # SECURITY: the same work as for a user who exists, or the time tells who does.
        get_hasher().encode(password, get_hasher().salt())
        raise AuthenticationFailed("unknown user", user=user)
    if not hasher.verify(password, user.password):
        raise AuthenticationFailed("wrong password", user=user)
    # SECURITY: only after the hash, or the time tells who is disabled.
    if not user.is_active:
        raise AuthenticationFailed("disabled user", user=user)
    if hasher.algorithm != get_hasher().algorithm or hasher.must_update(user.password):
        _renew_hash(user, password=password)
    return found


def record_sign_in(user: User) -> None:
    """Stamp the sign-in of a user who was just verified.

    Raises AuthenticationFailed when the user was disabled or signed out everywhere since: the row decides, not what was read.
    """
    # SECURITY: is_active and session_epoch again, at the moment of writing.
    stamped = User.objects.filter(pk=user.pk, is_active=True, session_epoch=user.session_epoch).update(last_sign_in_at=Instant())
    if not stamped:
        raise AuthenticationFailed("changed meanwhile", user=user)


class Backend(ModelBackend):
    """Sign-in of people in a browser (the admin), by the same rules as the token endpoint."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        if username is None or password is None:
            return None
        try:
            user = authenticate(username, password=password).user
            if not user.is_staff:
                raise AuthenticationFailed("not staff", user=user)  # noqa: TRY301 - one way out for every refusal
            record_sign_in(user)
        except AuthenticationFailed as failure:
            logger.info("sign-in refused", extra={"reason": failure.reason})
            _record(request, "failed", target=failure.user.pk if failure.user else "", detail={"door": "admin", "reason": failure.reason})
            return None
        _record(request, "succeeded", actor_id=user.pk, target=user.pk, detail={"door": "admin"})
        return user


def _record(request: HttpRequest | None, outcome: str, **fields: Any) -> None:
    meta = {} if request is None else request.META
    audit.record(f"user:sign_in:{outcome}", address=meta.get("authserver.address"), **fields)


def _find(identifier: str) -> Authenticated | None:
    try:
        canonical = identifiers.canonical(identifier)
    except identifiers.InvalidIdentifier:
        return None
    user = with_reconnect(User.objects.identified_by(canonical).with_role_names().first)
    return None if user is None else Authenticated(user, roles.parse_names(user.role_names_json))


def _hasher_of(user: User) -> BasePasswordHasher | None:
    """None for a password that nothing matches: unusable, empty, corrupt, or of a kind that is not installed."""
    try:
        hasher = identify_hasher(user.password)
        hasher.decode(user.password)
    except (ValueError, KeyError, AssertionError):  # what Django's hashers say of a text that is not theirs
        return None
    return hasher


def _renew_hash(user: User, *, password: str) -> None:
    encoded = make_password(password)
    try:
        # Conditional: a password that was changed meanwhile stays changed.
        renewed = User.objects.filter(pk=user.pk, password=user.password).update(password=encoded)
    except (DatabaseError, InterfaceError):
        logger.exception("the hash of a password could not be renewed; the sign-in goes on", extra={"user_id": user.pk})
    else:
        # The browser's session is bound to the hash: bound to the old one it would end with the sign-in.
        user.password = encoded if renewed else user.password
