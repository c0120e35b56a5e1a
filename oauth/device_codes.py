"""Devices that ask to be let in, people who let them, and the sessions that come of it (RFC 8628).

A person decides once, and a device is let in once: both are one conditional UPDATE.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.db.models.functions import Least

from accounts import audit, clock, throttling
from accounts.actors import Actor
from accounts.browser_proof import Proof
from accounts.clock import Instant
from accounts.lockout import source_of
from accounts.models import User
from oauth import scopes, sessions, user_codes
from oauth.errors import AccessDenied, AuthorizationPending, ExpiredToken, InvalidGrant, RateLimitExceeded, SlowDown
from oauth.models import Client, DeviceCode
from oauth.session_rows import Origin

LIFETIME = timedelta(minutes=10)
INTERVAL_SECONDS = 5
SLOWER_BY_SECONDS = 5
SLOWEST_SECONDS = 60
# Requests take their time, some more and some less: who waits as told may arrive a little early.
EARLY = timedelta(seconds=1)
MOST_OPEN = 50
KEEP = timedelta(days=1)
PRUNE_BATCH = 1000
_TRIES = 3

PENDING, APPROVED, DENIED, CONSUMED = DeviceCode.Decision


class UnknownCode(Exception):
    """No device waits under this code: it is mistyped, used or expired. One answer for all; `reason` is for the audit."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, repr=False)  # SECURITY: no repr: it holds both codes.
class Codes:
    """What the device is told; the server keeps digests."""

    device_code: str
    user_code: str

    def as_dict(self) -> dict[str, Any]:
        """RFC 8628 §3.2."""
        return {
            "device_code": self.device_code,
            "user_code": self.user_code,
            "verification_uri": verification_uri(),
            "verification_uri_complete": verification_uri(self.user_code),
            "expires_in": int(LIFETIME.total_seconds()),
            "interval": INTERVAL_SECONDS,
        }


def verification_uri(user_code: str = "") -> str:
    """Where a person goes to decide; with the code filled in already. From the issuer, never from the request."""
    page = f"{settings.JWT_ISSUER.rstrip('/')}/oauth/device"
    return f"{page}?user_code={user_code}" if user_code else page


def make(client: Client, *, scope: str, origin: Origin) -> Codes:
    """A device of this client waits from now on, for LIFETIME. Raises RateLimitExceeded when too many wait there."""
    source = source_of(origin.address)
    _ensure_few_wait(client, source=source)
    for tries_left in reversed(range(_TRIES)):
        codes = Codes(secrets.token_urlsafe(32), user_codes.draw())
        try:
            with transaction.atomic():
                DeviceCode.objects.create(
                    digest=_digest(codes.device_code),
                    user_code_digest=user_codes.digests(codes.user_code, keys=settings.TOKEN_KEYS)[0],
                    client=client,
                    scope=scope,
                    created_at=Instant(),
                    expires_at=Instant(plus=LIFETIME),
                    interval=INTERVAL_SECONDS,
                    address=origin.address,
                    source=source,
                    user_agent=origin.user_agent,
                )
        except IntegrityError:  # somebody has this user code: once in billions
            if not tries_left:
                raise
        else:
            return codes
    raise AssertionError("unreachable")


def redeem(value: str, *, client: Client, origin: Origin) -> sessions.Issued:
    """The session of a device that was let in, once.

    Raises AuthorizationPending, SlowDown, AccessDenied, ExpiredToken; InvalidGrant for a code unknown, used or another client's.
    """
    row = DeviceCode.objects.select_related("user").annotate(is_over=Q(expires_at__lte=Instant())).filter(pk=_digest(value)).first()
    if row is None:
        raise InvalidGrant("device code unknown")
    # SECURITY: a code is its own client's alone (RFC 8628 §3.4), and nobody else learns how it stands.
    if row.client_id != client.pk:
        raise InvalidGrant("device code of another client")
    if row.decision == CONSUMED:
        raise InvalidGrant("device code used", user_id=row.user_id)
    if row.is_over:
        raise ExpiredToken("device code expired")
    if row.decision == DENIED:
        raise AccessDenied("denied by the user", user_id=row.user_id)
    if row.decision == PENDING:
        _poll(row)
    return _open(row, client=client, origin=origin)


def enter(typed: str, *, user: User, actor: Actor) -> DeviceCode:
    """The device that waits under the code that this person typed. Raises UnknownCode, throttling.Throttled."""
    # SECURITY: every try of a person counts before it is looked at, wherever they are; of an address the wrong ones do.
    throttling.take_of_user(throttling.DEVICE_CODES_OF_USER, user_id=user.pk)
    throttling.ensure_left(throttling.FAILED_DEVICE_CODES, address=actor["address"])
    try:
        return find_waiting(typed)
    except UnknownCode as failure:
        throttling.record(throttling.FAILED_DEVICE_CODES, address=actor["address"])
        audit.record("device:code:failed", target=user.pk, detail={"reason": failure.reason}, **actor)
        raise


def find_waiting(user_code: str) -> DeviceCode:
    """The device that waits under the code that was typed. Raises UnknownCode."""
    try:
        digests = user_codes.digests(user_codes.parse(user_code), keys=settings.TOKEN_KEYS)
    except user_codes.Malformed:
        raise UnknownCode("malformed") from None
    waiting = DeviceCode.objects.filter(decision=PENDING, expires_at__gt=Instant(), client__is_active=True)
    row = waiting.filter(user_code_digest__in=digests).select_related("client").first()
    if row is None:
        raise UnknownCode("unknown, used or expired")
    return row


def approve(device: DeviceCode, *, user: User, proof: Proof, actor: Actor) -> None:
    """Let the device in as this user. Raises UnknownCode when it was decided or expired meanwhile."""
    _decide(device, APPROVED, user=user, actor=actor, auth_time=proof.auth_time, amr=proof.amr)


def deny(device: DeviceCode, *, user: User, actor: Actor) -> None:
    """Turn the device away. Raises UnknownCode when it was decided or expired meanwhile."""
    _decide(device, DENIED, user=user, actor=actor)


def prune() -> int:
    """Remove a batch of codes that expired a day ago; how many. Until then a device that asks late is told why."""
    over = DeviceCode.objects.filter(expires_at__lte=Instant(plus=-KEEP)).order_by("pk").values_list("pk", flat=True)
    removed, _ = DeviceCode.objects.filter(pk__in=[*over[:PRUNE_BATCH]]).delete()
    return removed


def _ensure_few_wait(client: Client, *, source: str) -> None:
    waiting = DeviceCode.objects.filter(client=client, source=source, expires_at__gt=Instant(), decision=PENDING).order_by("expires_at")
    ends = list(waiting.values_list("expires_at", flat=True)[:MOST_OPEN])
    # SECURITY: each code that is open makes a guess at codes more likely to hit one.
    if len(ends) >= MOST_OPEN:
        seconds = int((ends[0] - clock.database_now()).total_seconds())
        raise RateLimitExceeded("as many devices wait as may", retry_after=max(1, seconds), client_id=client.client_id)


def _poll(row: DeviceCode) -> None:
    """Note that the device asked while nobody had decided. Raises AuthorizationPending, or SlowDown when it came too early (§3.5)."""
    rows = DeviceCode.objects.filter(pk=row.pk)
    waited = Q(last_polled_at=None) | Q(last_polled_at__lte=Instant(plus=EARLY - timedelta(seconds=row.interval)))
    # Of parallel polls one is in time, and each of the others makes the interval longer.
    if rows.filter(waited, interval=row.interval).update(last_polled_at=Instant()):
        raise AuthorizationPending("not decided yet")
    rows.update(last_polled_at=Instant(), interval=Least(F("interval") + SLOWER_BY_SECONDS, SLOWEST_SECONDS))
    raise SlowDown("polled too early")


def _open(row: DeviceCode, *, client: Client, origin: Origin) -> sessions.Issued:
    user = row.user
    # SECURITY: whoever was disabled or signed out everywhere since the approval lets nobody in.
    if user is None or row.auth_time is None or not user.is_active or user.session_epoch != row.user_epoch:
        raise InvalidGrant("user disabled or signed out since the approval", user_id=row.user_id)
    scope = scopes.format(scopes.parse(row.scope) & client.allowed_scope_set)
    if not scope:
        raise InvalidGrant("the client has none of the scopes any more", user_id=user.pk)
    with transaction.atomic():
        issued, session = sessions.new(
            user,
            role_names=tuple(user.roles.order_by("name").values_list("name", flat=True)),
            client=client,
            scope=scope,
            amr=row.amr,
            auth_time=row.auth_time,
            origin=origin,
        )
        session.execute()
        # SECURITY: own columns in the WHERE decide which of several polls is the one; the session of a loser is rolled back.
        consumed = DeviceCode.objects.filter(pk=row.pk, decision=APPROVED, expires_at__gt=Instant()).update(decision=CONSUMED)
        if not consumed:
            raise InvalidGrant("device code used or expired meanwhile", user_id=user.pk)
        audit.record(
            "user:sign_in:succeeded",
            actor_id=user.pk,
            target=issued.claims.sid,
            client_id=client.client_id,
            address=origin.address,
            user_agent=origin.user_agent,
            detail={"grant": "device_code"},
        )
    return issued


def _decide(device: DeviceCode, decision: DeviceCode.Decision, *, user: User, actor: Actor, **columns: object) -> None:
    with transaction.atomic():
        # SECURITY: decided once: another person, or another window, changes nothing any more.
        waiting = DeviceCode.objects.filter(pk=device.pk, decision=PENDING, expires_at__gt=Instant())
        if not waiting.update(decision=decision, user=user, user_epoch=user.session_epoch, **columns):
            raise UnknownCode("decided or expired meanwhile")
        audit.record(
            f"device:code:{decision}",
            target=user.pk,
            client_id=device.client.client_id,
            detail={"scope": device.scope, "device_address": device.address, "device_user_agent": device.user_agent},
            **actor,
        )


def _digest(value: str) -> bytes:
    """A fast hash is enough: 256 random bits cannot be guessed."""
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).digest()
