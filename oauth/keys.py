"""This process's view of the signing keys: what is published, what signs, and the JWK Set as verifiers get it (RFC 7517).

Every process computes the same view from the same rows. A poller in each server process renews it twice a
second, so that no request waits for it, and makes what is missing. When the database is away, the rows that
were read last go on to serve.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import jwt
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection

from accounts import clock, encryption, metrics, pauses
from oauth import key_pairs, key_rotation, key_rows, key_set_use, public_documents
from oauth.access_tokens import Signer, VerificationKey
from oauth.errors import TemporarilyUnavailable
from oauth.key_schedule import Schedule
from oauth.models import SigningKey

POLL_SECONDS = 0.5
STALE_SECONDS = 15.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class KeySet:
    """What the schedule says at one instant."""

    signing: SigningKey | None
    verification_keys: Mapping[str, VerificationKey]
    imported_keys: Mapping[str, Any]
    algorithms: list[str]
    jwks: bytes
    etag: str

    @classmethod
    def at(cls, now: datetime, *, schedule: Schedule[SigningKey]) -> "KeySet":
        published = [place.key for place in schedule.published(now)]
        signing = schedule.signer(now)
        jwks, etag = public_documents.as_body({"keys": [key_pairs.ordered(row.public_jwk) for row in published]})
        return cls(
            signing=signing.key if signing else None,
            verification_keys={row.kid: VerificationKey(row.algorithm, _public_key(**row.public_jwk)) for row in published},
            # Also when they have left the set: refresh tokens of the older service live longer than its access tokens.
            imported_keys={row.kid: _public_key(**row.public_jwk) for row in _imported(schedule)},
            algorithms=sorted({row.algorithm for row in published}),
            jwks=jwks,
            etag=etag,
        )


class KeyRing:
    """This process's view of the schedule."""

    def __init__(self) -> None:
        self._schedule: Schedule[SigningKey] | None = None
        self._view: KeySet | None = None
        self._signers: dict[str, Signer] = {}
        self._loaded_at = 0.0
        self._polls = False
        self._complaint = ""
        self._instants: dict[str, float] = {}
        self._reading: Callable[[], AbstractContextManager[None]] = nullcontext

    def view(self) -> KeySet:
        """From memory, at most a second old. Only a process without a poller reads the database here."""
        if self._view is None or not (self._polls or time.monotonic() - self._loaded_at < POLL_SECONDS):
            self.reload()
        assert self._view is not None  # noqa: S101 - reload raises or sets it
        return self._view

    def signer(self, lifetime: timedelta) -> Signer:
        """The key that signs now, for a token that lives so long.

        Raises TemporarilyUnavailable when there is none, or it does not open: a token is never left unsigned.
        """
        row = self.view().signing
        if row is None:
            raise TemporarilyUnavailable("no signing key; run manage.py bootstrap")
        # SECURITY: before it signs, or the key leaves the key set while the token lives.
        if lifetime > timedelta(seconds=row.longest_lifetime):
            key_rows.lengthen(row.kid, lifetime=lifetime)
            self.reload()
        return self._open(row)

    def state(self) -> str:
        """For the readiness of this process: ok, missing, unreadable or stale."""
        try:
            row = self.view().signing
            if row is None:
                return "missing"
            self._open(row)
        except (DatabaseError, InterfaceError):
            return "missing"
        except TemporarilyUnavailable:
            return "unreadable"
        is_stale = self._polls and time.monotonic() - self._loaded_at > STALE_SECONDS
        return "stale" if is_stale else "ok"  # the poller hangs, or has ended

    def reload(self) -> None:
        """Read the rows anew and compute the view. Without the database the known rows are kept; raises when there are none yet."""
        try:
            schedule = key_rows.current()
        except (DatabaseError, InterfaceError):
            metrics.STORE_UP.labels(metrics.DATABASE).set(0)
            if self._schedule is None:
                raise
            logger.warning("the signing keys could not be read; those read last stay in use")
            connection.close()
            schedule = self._schedule
        else:
            metrics.STORE_UP.labels(metrics.DATABASE).set(1)
        self._view = KeySet.at(clock.now(), schedule=schedule)
        self._schedule, self._loaded_at = schedule, time.monotonic()
        published = self._view.verification_keys
        self._signers = {kid: signer for kid, signer in self._signers.items() if kid in published}

    def forget(self) -> None:
        self._schedule, self._view, self._signers = None, None, {}

    def poll(self, *, reading: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        """Load the view and keep it fresh from a thread of its own for the rest of the process's life; each read is within a `reading`."""
        self._reading = reading
        self._go_round()
        connection.close()  # this thread serves no requests
        self._polls = True
        threading.Thread(target=self._run, name="signing-keys", daemon=True).start()

    def _run(self) -> None:
        while True:
            pauses.sleep_about(POLL_SECONDS, spread=0.3)  # nor in step with whatever the database does twice a second
            self._go_round()

    def _go_round(self) -> None:
        try:
            with self._reading():
                self.reload()
            if self._schedule is not None and not key_rotation.is_complete(self._schedule, now=clock.now()):
                key_rotation.maintain()
                self.reload()
            key_set_use.tally.flush_now_and_then()
            self._tell_instants()
            self._complaint = ""
        except encryption.Undecryptable as error:
            self._complain(str(error))
        except (DatabaseError, InterfaceError) as error:
            # Another process may be about the same; what is missing is looked at again in the next round.
            self._complain(f"the signing keys could not be read or renewed: {type(error).__name__}")
            connection.close()
        except Exception:
            # Whatever it was, the next round may go well; a thread that ended would go on signing with a revoked key.
            logger.exception("the signing keys could not be read or renewed")
            connection.close()

    def _tell_instants(self) -> None:
        """For the metrics, when they have changed; none is told that is not known."""
        instants = _instants(self._schedule, now=clock.now()) if self._schedule is not None else {}
        if instants != self._instants:
            for name in {*instants, *self._instants}:
                metrics.KEY_INSTANTS.labels(name).set(instants.get(name, float("nan")))
            self._instants = instants

    def _complain(self, message: str) -> None:
        """Once: the poller comes round twice a second."""
        if message != self._complaint:
            self._complaint = message
            logger.error(message)

    def _open(self, row: SigningKey) -> Signer:
        """Decrypted once per process and key."""
        signer = self._signers.get(row.kid)
        if signer is None:
            try:
                signer = Signer(row.kid, row.algorithm, key_rows.unseal(row))
            except encryption.Undecryptable as error:
                raise TemporarilyUnavailable(str(error)) from error
            self._signers[row.kid] = signer
        return signer


ring = KeyRing()


def _instants(schedule: Schedule[SigningKey], *, now: datetime) -> dict[str, float]:
    """Since when the key signs that signs now, when the next one will, and when that may: seconds since 1970."""
    signer, standby = schedule.signer(now), schedule.standby(now)
    instants = {
        "signs since": signer.key.signs_from if signer else None,
        "next signs from": schedule.due_at(now, every=settings.KEY_ROTATION_PERIOD, lead=settings.KEY_PUBLISH_LEAD),
        "next is known to all from": standby.key.published_at + settings.KEY_PUBLISH_LEAD if standby else None,
    }
    return {name: instant.timestamp() for name, instant in instants.items() if instant is not None}


def _imported(schedule: Schedule[SigningKey]) -> list[SigningKey]:
    """Those that kept the name they had elsewhere, and that nobody else may have."""
    rows = [place.key for place in schedule.places]
    return [row for row in rows if row.kid != row.thumbprint and row.algorithm == "RS256" and row.revoked_at is None]


@cache
def _public_key(**jwk: str) -> Any:
    return jwt.PyJWK(jwk).key
