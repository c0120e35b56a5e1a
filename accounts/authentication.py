"""Verify who someone is by user name or e-mail and password: the one door, with its counter, for whatever asks for a password."""

import logging
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.hashers import BasePasswordHasher, get_hasher, identify_hasher, make_password
from django.db import DEFAULT_DB_ALIAS, DatabaseError, InterfaceError, connection, transaction
from django.db.models.sql.compiler import SQLCompiler
from django.http import HttpRequest

from accounts import audit, clock, identifiers, lockout, metrics, passwords, roles, sign_in_rows, spraying, statements, throttling
from accounts.actors import Actor, user_agent
from accounts.even_time import pace
from accounts.hash_slots import Full, slots
from accounts.lockout import Busy, Locked, Reservation
from accounts.models import User
from accounts.reconnect import with_reconnect
from accounts.statements import Insert

logger = logging.getLogger(__name__)


_ANY_USERNAME, _ANY_EMAIL = "anybody at all", "anybody@at all"  # stand where the name goes; with spaces, so they are nobody's

Reason = Literal["unknown user", "wrong password", "disabled user", "unconfirmed user", "password too long", "changed meanwhile"]


class AuthenticationFailed(Exception):
    """Raised for whatever is wrong; `reason` is for the log alone.

    `to_record` is how many failures the audit is to be told of now: a lane's are told once a minute, together.
    """

    def __init__(self, reason: Reason, *, user: User | None = None, to_record: int = 1, name_digest: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.user = user
        self.to_record = to_record
        self.name_digest = name_digest

    @property
    def detail(self) -> dict[str, Any]:
        """For the audit: nothing that was typed, but what tells one unknown name from another."""
        return {"reason": self.reason, "count": self.to_record} | ({"name_digest": self.name_digest} if self.name_digest else {})


@dataclass(frozen=True)
class Door:
    """Where a password was presented, for the record."""

    name: Literal["token", "browser", "admin", "api"]
    address: str | None
    user_agent: str = ""
    client_id: str = ""


@dataclass(frozen=True)
class Authenticated:
    """Someone who proved who they are, and the roles they had at that moment.

    The attempt is still counted as running: `record_sign_in` or `accept` ends it well, `abandon` without a verdict.
    """

    user: User
    role_names: tuple[str, ...]
    reservation: Reservation
    door: Door


def authenticate(identifier: str, *, password: str, door: Door) -> Authenticated:
    """The active user with this identifier and password; a hash of older cost is renewed.

    Raises AuthenticationFailed, throttling.Throttled, lockout.Locked, lockout.Busy, hash_slots.Full. An unknown, disabled or
    passwordless user costs the same as a wrong password, and is counted and locked alike.
    """
    # SECURITY: before anything is asked about the name: who has used up the tries of an address learns nothing more.
    throttling.ensure_left(throttling.FAILED_PASSWORDS, address=door.address)
    if passwords.is_too_long(password):
        raise _counted(AuthenticationFailed("password too long"), door=door)
    with slots.admit():
        beat = pace.begin()
        name, user = _find(identifier)
        # SECURITY: before any hash is computed, or parallel guesses would slip past the count.
        reservation = lockout.reserve(name, user=user, address=door.address)
        try:
            with slots.take():
                reason = _verdict(user, password)
        except BaseException:
            lockout.release(reservation)
            raise
        if reason is not None:
            # SECURITY: whatever is wrong, or the time tells whose hash is of another kind.
            beat.wait()
    if user is None or reason is not None:
        record = {"client_id": door.client_id, "address": door.address, "user_agent": door.user_agent, "detail": {"door": door.name}}
        to_record = lockout.fail(reservation, record=record)
        spraying.record_failure(reservation.digest, address=door.address)
        failure = AuthenticationFailed(reason or "unknown user", user=user, to_record=to_record, name_digest=reservation.name_digest)
        raise _counted(failure, door=door)
    spraying.record_success(reservation.digest)
    return Authenticated(user, roles.parse_names(getattr(user, "role_names_json", None)), reservation, door)


def accept(authenticated: Authenticated) -> None:
    """The password was right: forget the failures before it, once the audit knows of them, in the caller's transaction.

    Raises lockout.Locked.
    """
    if authenticated.user.has_second_factor:
        # SECURITY: the failures before it stay counted, or who knows the password guesses codes without end.
        abandon(authenticated)
        return
    door, count = authenticated.door, lockout.forgive(authenticated.reservation)
    if count:
        detail = {"reason": "wrong password", "count": count}
        _record(door, "failed", target=authenticated.user.pk, client_id=door.client_id, detail=detail)


def abandon(authenticated: Authenticated) -> None:
    """The password was right and did not suffice: the attempt counts as nothing."""
    lockout.release(authenticated.reservation)


def record_sign_in(authenticated: Authenticated, *rows: Insert) -> None:
    """Stamp the sign-in of a user who was just verified, and write `rows`: all of it or nothing.

    Raises lockout.Locked, and AuthenticationFailed when the user was disabled or signed out everywhere since: the row decides, not
    what was read.
    """
    user, reservation = authenticated.user, authenticated.reservation
    if not user.has_second_factor and sign_in_rows.write_at_once(user, reservation, rows):
        return
    with transaction.atomic():
        if not sign_in_rows.stamp(user):
            raise AuthenticationFailed("changed meanwhile", user=user)
        accept(authenticated)
        for row in rows:
            row.execute()


class Backend(ModelBackend):
    """Sign-in of people in a browser, by the same rules as the token endpoint. Raises Throttled, for the form to tell."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        if username is None or password is None:
            return None
        door = _door(request)
        try:
            authenticated = authenticate(username, password=password, door=door)
            if authenticated.user.has_second_factor:
                accept(authenticated)
                return authenticated.user
            record_sign_in(authenticated, _event(door, "succeeded", actor_id=authenticated.user.pk, target=authenticated.user.pk))
        except AuthenticationFailed as failure:
            logger.info("sign-in refused", extra={"reason": failure.reason})
            if failure.to_record:
                _record(door, "failed", target=failure.user.pk if failure.user else "", detail=failure.detail)
            return None
        except throttling.Throttled:
            logger.info("sign-in refused", extra={"reason": "throttled"})
            raise
        except (Locked, Busy, Full) as refusal:
            logger.info("sign-in refused", extra={"reason": type(refusal).__name__.lower()})
            return None
        return authenticated.user

    def get_user(self, user_id: Any) -> User | None:
        """Who the session says it is, with whether they have a second factor: every page asks."""
        user = with_reconnect(User.objects.filter(pk=user_id).with_second_factor().first)
        return user if user is not None and self.user_can_authenticate(user) else None


def record_browser_sign_in(user: User, *, by: str, actor: Actor) -> None:
    """Stamp a sign-in that a second factor or a passkey completed. Raises AuthenticationFailed when the user may not sign in any more."""
    with transaction.atomic():
        active = User.objects.filter(pk=user.pk, is_active=True, awaits_confirmation=False)
        # SECURITY: at the moment of writing; the password was verified minutes ago, or not at all.
        if not active.filter(session_epoch=user.session_epoch).update(last_sign_in_at=clock.Instant()):
            raise AuthenticationFailed("changed meanwhile", user=user)
        audit.record("user:sign_in:succeeded", target=user.pk, detail={"door": "browser", "by": by}, **actor | {"actor_id": user.pk})


def _counted(failure: AuthenticationFailed, *, door: Door) -> AuthenticationFailed:
    throttling.record(throttling.FAILED_PASSWORDS, address=door.address)
    metrics.FAILED_SIGN_INS.labels(door.name, failure.reason).inc()
    return failure


def _door(request: HttpRequest | None) -> Door:
    meta = {} if request is None else request.META
    return Door("browser", address=meta.get("authserver.address"), user_agent="" if request is None else user_agent(request))


def _record(door: Door, outcome: str, **fields: Any) -> None:
    _event(door, outcome, **fields).execute()


def _event(door: Door, outcome: str, *, detail: dict[str, Any] | None = None, **fields: Any) -> Insert:
    return audit.row(
        f"user:sign_in:{outcome}", address=door.address, user_agent=door.user_agent, detail={"door": door.name} | (detail or {}), **fields
    )


def _find(identifier: str) -> tuple[str, User | None]:
    """The name under which an attempt is counted, and whose it is. What can be nobody's name is counted as it was typed."""
    try:
        name = identifiers.canonical(identifier)
    except identifiers.InvalidIdentifier:
        return identifier.strip()[: identifiers.MAX_LENGTH], None
    return name, with_reconnect(lambda: _read(name))


def _read(name: str) -> User | None:
    anybody = _ANY_EMAIL if identifiers.is_email(name) else _ANY_USERNAME
    asked = _question(anybody, statements.vendor())
    with connection.cursor() as cursor:
        cursor.execute(asked.sql, [name if each == anybody else each for each in asked.parameters])
        row = cursor.fetchone()
    if row is None:
        return None
    [values] = asked.compiler.apply_converters([row], asked.converters) if asked.converters else [row]
    user = User.from_db(DEFAULT_DB_ALIAS, asked.fields, values[: len(asked.fields)])
    for annotation, place in asked.annotations.items():
        setattr(user, annotation, values[place])
    return user


@dataclass(frozen=True)
class _Question:
    """The statement that finds a user, and how its row is read: the user's columns first, what is annotated at its places."""

    sql: str
    parameters: tuple[Any, ...]
    fields: tuple[str, ...]
    annotations: dict[str, int]
    converters: dict[int, Any]
    compiler: SQLCompiler


@cache
def _question(anybody: str, vendor: str) -> _Question:
    """As the ORM has it, for any name: to compose it and to find out how to read its row cost each sign-in 1.3 ms of CPU."""
    query = User.objects.identified_by(anybody).with_role_names().with_second_factor().order_by().query
    # The connection of whichever thread is served: the converters of SQLite's columns ask it for its time zone.
    compiler = query.get_compiler(connection=connection)
    sql, parameters = compiler.as_sql()
    columns = [column for column, _, _ in compiler.select]
    fields = tuple(columns[place].target.attname for place in compiler.klass_info["select_fields"])
    return _Question(sql, parameters, fields, compiler.annotation_col_map, compiler.get_converters(columns), compiler)


def _verdict(user: User | None, password: str) -> Reason | None:
    """What is wrong, or None; the caller holds a slot."""
    hasher = None if user is None else _hasher_of(user)
    if user is None or hasher is None:
        # SECURITY: the same work as for a user who exists, or the time tells who does.
        slots.compute(get_hasher().encode, password, get_hasher().salt())
        return "unknown user"
    if not slots.compute(hasher.verify, password, user.password):
        return "wrong password"
    # SECURITY: only after the hash, or the time tells who is disabled.
    if not user.is_active:
        return "disabled user"
    if user.awaits_confirmation:
        return "unconfirmed user"
    if hasher.algorithm != get_hasher().algorithm or hasher.must_update(user.password):
        _renew_hash(user, password=password)
    return None


def _hasher_of(user: User) -> BasePasswordHasher | None:
    """None for a password that nothing matches: unusable, empty, corrupt, or of a kind that is not installed."""
    try:
        hasher = identify_hasher(user.password)
        hasher.decode(user.password)
    except (ValueError, KeyError, AssertionError):  # what Django's hashers say of a text that is not theirs
        return None
    return hasher


def _renew_hash(user: User, *, password: str) -> None:
    encoded = slots.compute(make_password, password)
    try:
        # Conditional: a password that was changed meanwhile stays changed.
        renewed = User.objects.filter(pk=user.pk, password=user.password).update(password=encoded)
    except (DatabaseError, InterfaceError):
        logger.exception("the hash of a password could not be renewed; the sign-in goes on", extra={"user_id": user.pk})
    else:
        # The browser's session is bound to the hash: bound to the old one it would end with the sign-in.
        user.password = encoded if renewed else user.password
