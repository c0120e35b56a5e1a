"""The second factors of people: codes are verified and spent here, passkeys recorded, and all of them taken away for who has lost them."""

import logging
import secrets
from datetime import datetime
from typing import Literal

from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from allauth.mfa.utils import decrypt
from django.db import transaction

from accounts import audit, encryption, lockout, metrics, throttling, users
from accounts.actors import Actor
from accounts.lockout import Reservation
from accounts.models import User

# What each kind is called in the audit.
KINDS = {"totp": "totp", "webauthn": "passkey", "recovery_codes": "recovery_code"}
PURPOSE = "second factors"  # of what is encrypted
SEEDS = {"totp": "secret", "recovery_codes": "seed"}  # where allauth keeps them, by the type of the row
PERIOD_SECONDS = 30
TOLERANCE = 1  # steps before and after this one: clocks of telephones differ
DOOR = "second_factor"  # what a failed code is counted as, beside the doors of passwords

logger = logging.getLogger(__name__)


class WrongCode(Exception):
    """No code of this user, or one that was used already; the attempt is counted."""


def verify_code(user: User, code: str, *, actor: Actor, now: datetime) -> Authenticator:
    """Spend a code of the user's authenticator app, or a recovery code; each is good once, in whatever process.

    Raises WrongCode, lockout.Locked, lockout.Busy, throttling.Throttled. The attempt counts where those on the password count.
    """
    throttling.ensure_left(throttling.FAILED_PASSWORDS, address=actor["address"])
    # SECURITY: before a code is looked at, in the lanes of the password: or who has that guesses a million codes in peace.
    reservation = lockout.reserve(user.username, user=user, address=actor["address"])
    try:
        authenticator = _spend(user, "".join(code.split()), now=now)
    except BaseException:
        lockout.release(reservation)
        raise
    if authenticator is None:
        _fail(user, reservation, actor=actor)
        raise WrongCode
    with transaction.atomic():
        lockout.forgive(reservation)
    return authenticator


def step_of(secret: str, code: str, *, now: datetime) -> int | None:
    """The time step (RFC 6238 §4.2) whose code this is, if it is near enough to now."""
    current = int(now.timestamp()) // PERIOD_SECONDS
    for step in range(current - TOLERANCE, current + TOLERANCE + 1):
        if secrets.compare_digest(format_hotp_value(hotp_value(secret, step)).encode(), code.encode("utf-8", "surrogatepass")):
            return step
    return None


def spend_step(user: User, step: int) -> bool:
    """Whether no code of this time step or a later one was spent before."""
    # SECURITY: one statement decides, for all processes: the same code signs nobody in twice (RFC 6238 §5.2).
    return bool(User.objects.filter(pk=user.pk, last_totp_step__lt=step).update(last_totp_step=step))


def record(outcome: Literal["added", "removed", "used"], kind: str, *, user: User, actor: Actor, **detail: int) -> None:
    audit.record(f"user:second_factor:{outcome}", target=user.pk, detail={"kind": KINDS[kind], **detail}, **actor | {"actor_id": user.pk})


def reset(user: User, *, actor: Actor, reason: str) -> dict[str, int]:
    """Take every second factor from a user and end their sessions; how many of each kind there were. The password stays."""
    with transaction.atomic():
        rows = Authenticator.objects.select_for_update().filter(user_id=user.pk)
        kinds = [KINDS[kind] for kind in rows.values_list("type", flat=True)]
        removed = {kind: kinds.count(kind) for kind in sorted({*kinds})}
        rows.delete()
        users.end_sessions(user)
        audit.record("user:second_factor:reset", target=user.pk, detail={"removed": removed, "reason": reason}, **actor)
    return removed


def unreadable() -> tuple[int, int]:
    """How many seeds open with none of KEY_ENCRYPTION_KEYS, and of how many: their owners cannot sign in with a code."""
    lost = count = 0
    for kind, data in Authenticator.objects.filter(type__in=SEEDS).values_list("type", "data").iterator():
        count += 1
        try:
            encryption.decrypt(data[SEEDS[kind]], purpose=PURPOSE)
        except encryption.Undecryptable:
            lost += 1
    return lost, count


def reencrypt() -> tuple[int, int]:
    """Encrypt every seed under the first of KEY_ENCRYPTION_KEYS. How many were, and of how many.

    Raises encryption.Undecryptable, and changes nothing, when one of them opens with none.
    """
    changed = 0
    with transaction.atomic():
        rows = list(Authenticator.objects.select_for_update().filter(type__in=SEEDS).order_by("pk"))
        for row in rows:
            renewed = encryption.renew(row.data[SEEDS[row.type]], purpose=PURPOSE)
            if renewed is not None:
                row.data[SEEDS[row.type]] = renewed
                row.save(update_fields=("data",))
                changed += 1
    return changed, len(rows)


def _spend(user: User, code: str, *, now: datetime) -> Authenticator | None:
    found = {row.type: row for row in Authenticator.objects.filter(user_id=user.pk, type__in=("totp", "recovery_codes"))}
    totp, recovery = found.get("totp"), found.get("recovery_codes")
    if totp is not None:
        step = step_of(decrypt(totp.data["secret"]), code, now=now)
        if step is not None:
            return totp if spend_step(user, step) else None
    if recovery is not None and RecoveryCodes(recovery).validate_code(code):
        return recovery
    return None


def _fail(user: User, reservation: Reservation, *, actor: Actor) -> None:
    throttling.record(throttling.FAILED_PASSWORDS, address=actor["address"])
    metrics.FAILED_SIGN_INS.labels(DOOR, "wrong code").inc()
    count = lockout.fail(reservation, record={"address": actor["address"], "user_agent": actor["user_agent"], "detail": {"door": DOOR}})
    logger.info("sign-in refused", extra={"reason": "wrong code", "user_id": user.pk})
    if count:
        audit.record(
            "user:second_factor:failed", target=user.pk, detail={"reason": "wrong code", "count": count}, **actor | {"actor_id": None}
        )
