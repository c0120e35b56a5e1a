"""Mails that wait to be sent: a request writes a row, and a thread of each server process sends what is due.

A row holds no code. The code is made when the mail is sent, so neither the table nor its backup opens anything, and
the half hour of a code begins when it leaves. A mail server that is away delays mails and no request.
"""

import logging
import threading
import time
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db import DatabaseError, InterfaceError, connection, transaction
from django.db.models import F, Q, QuerySet

from accounts import mails, one_time_tokens
from accounts.clock import Instant
from accounts.models import Outbox, User
from accounts.reconnect import with_reconnect

POLL_SECONDS = 2.0
BATCH = 20
# Longer than a mail server can draw out one mail: every step of it is given up after EMAIL_TIMEOUT.
CLAIMED_FOR = timedelta(minutes=2)
FIRST_DELAY, LONGEST_DELAY = timedelta(seconds=30), timedelta(hours=1)
GIVEN_UP_AFTER = timedelta(hours=24)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kind:
    """A kind of mail. `purpose` is that of the code in it, and `path` the page that takes the code; empty: it carries none."""

    purpose: str = ""
    path: str = ""


KINDS = {
    "email_change": Kind(purpose=one_time_tokens.EMAIL_CHANGE, path="/confirm-email"),
    "email_taken": Kind(),
    "email_changed": Kind(),
    "password_reset": Kind(purpose=one_time_tokens.PASSWORD_RESET, path="/password-reset/confirm"),
    "password_changed": Kind(),
    "registration": Kind(purpose=one_time_tokens.REGISTRATION, path="/confirm-email"),
}


@dataclass(frozen=True)
class Due:
    """A row whose turn has come."""

    pk: int
    kind: str
    tries: int
    is_too_old: bool

    @property
    def rows(self) -> QuerySet[Outbox]:
        return Outbox.objects.filter(pk=self.pk)


def is_set_up() -> bool:
    """Whether this server sends mails at all (AUTH_SERVICE__EMAIL_URL)."""
    return bool(settings.EMAIL_URL)


def put(kind: str, *, user: User | None, email: str, language: str) -> None:
    """A mail to be sent, in the caller's transaction. Without a user there is nobody to send it to: the row is only erased in its turn."""
    if kind not in KINDS:
        raise KeyError(kind)
    Outbox.objects.create(kind=kind, user=user, email=email, language=language, created_at=Instant(), next_try_at=Instant())


def withdraw(user: User) -> None:
    """Send the user no code that was asked for, and take none that was sent. In the caller's transaction, which holds the user's row."""
    Outbox.objects.filter(user=user, kind__in=[name for name, kind in KINDS.items() if kind.purpose]).delete()
    one_time_tokens.forget(user)


def deliver() -> int:
    """Send what is due, once; how many mails that were."""
    due = Outbox.objects.filter(next_try_at__lte=Instant(), kind__in=KINDS)
    rows = due.annotate(is_too_old=Q(created_at__lte=Instant(plus=-GIVEN_UP_AFTER))).order_by("next_try_at")
    each = [Due(*row) for row in rows.values_list("pk", "kind", "tries", "is_too_old")[:BATCH]]
    return sum(_is_sent(row) for row in each if _claim(row))


def poll() -> None:
    """Deliver from a thread of its own for the rest of the process's life, where there is a mail server."""
    if is_set_up():
        threading.Thread(target=_run, name="outbox", daemon=True).start()


def _run() -> None:
    while True:
        time.sleep(POLL_SECONDS)
        _deliver_or_report()


def _deliver_or_report() -> None:
    try:
        deliver()
    except (DatabaseError, InterfaceError) as error:
        logger.warning("the outbox could not be read", extra={"reason": type(error).__name__})
        connection.close()
    except Exception:
        # Whatever it was, the next round may go well; a thread that ended would send nothing any more.
        logger.exception("the outbox failed")
        connection.close()


def _claim(due: Due) -> bool:
    """Whether this process is to send it. The others see it due again only when this one must have died."""
    return due.rows.filter(next_try_at__lte=Instant()).update(next_try_at=Instant(plus=CLAIMED_FOR)) == 1


def _is_sent(due: Due) -> bool:
    if due.is_too_old:
        _give_up(due, reason="too old")
        return False
    mail = _prepare(due)
    try:
        sent = mail is not None and mail.send() == 1
    except ValueError as error:  # no header may hold this address
        _give_up(due, reason=type(error).__name__)
        return False
    except OSError as error:  # whatever the mail server, its name or the network did
        # SECURITY: the kind of the error alone: its text may be the mail server's, which quotes the address.
        _put_off(due, reason=type(error).__name__)
        return False
    with_reconnect(due.rows.delete)
    return sent


def _prepare(due: Due) -> EmailMultiAlternatives | None:
    """The mail, with a code that is made now; None when it is for nobody, or was withdrawn."""
    kind = KINDS[due.kind]
    with transaction.atomic():
        user_id = due.rows.values_list("user_id", flat=True).first()
        user = None if user_id is None else one_time_tokens.hold_owner(user_id)
        # Only now, with the user held: or a code is made that another password has withdrawn just now.
        row = due.rows.first()
        if user is None or row is None:
            return None
        # A mail that is tried again has a code already, and nobody has seen it.
        if kind.purpose and not due.tries and one_time_tokens.is_fresh(user, purpose=kind.purpose, email=row.email):
            return None
        code = one_time_tokens.make(user, purpose=kind.purpose, email=row.email) if kind.purpose else ""
    return mails.compose(row.kind, username=user.username, email=row.email, language=row.language, code=code, path=kind.path)


def _put_off(due: Due, *, reason: str) -> None:
    extra = {"outbox_id": due.pk, "kind": due.kind, "tries": due.tries + 1, "reason": reason}
    delay = min(FIRST_DELAY * 2 ** min(due.tries, 16), LONGEST_DELAY)
    due.rows.update(tries=F("tries") + 1, next_try_at=Instant(plus=delay))
    logger.warning("a mail could not be sent, and is tried again", extra=extra)


def _give_up(due: Due, *, reason: str) -> None:
    due.rows.delete()
    logger.error("a mail was given up", extra={"outbox_id": due.pk, "kind": due.kind, "reason": reason})
