"""Which instances of the server run on this database, and whether they go together: the same settings, one Redis.

An instance is one gunicorn with its processes. One of them writes its row, every quarter of a minute or so, and each reads those of
all: what a request or a probe is told of it comes from memory.
"""

import hmac
import json
import logging
import secrets
import socket
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import timedelta
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.db import connection
from django.db.models import Q

from accounts import metrics, pauses, shared_store, statements
from accounts.clock import Instant
from oauth.http import STORE_DOWN
from oauth.models import Instance

# Drawn when the code is loaded, before the processes part: all of one server have the same.
ID = secrets.token_hex(8)
FIRST_LOOK_SECONDS, LOOK_SECONDS = 1.0, 20.0
WRITTEN_EVERY = timedelta(seconds=15)
ALIVE_FOR = timedelta(seconds=75)  # three looks that were missed
FORGOTTEN_AFTER = timedelta(minutes=10)
WITHOUT_REDIS, SETTINGS_DIFFER = "instances_without_redis", "settings_differ"
SECRETS = "the secrets"
SECRETS_OF_ALL = ("SECRET_KEY", "SECRET_KEY_FALLBACKS", "TOKEN_KEYS", "KEY_ENCRYPTION_KEYS", "CLIENT_REGISTRATION_TOKEN")
SAME_EVERYWHERE = (
    "ENVIRONMENT",
    "JWT_ISSUER",
    "JWT_AUDIENCE",
    "ACCESS_TOKEN_LIFETIME",
    "REFRESH_TOKEN_LIFETIME",
    "SESSION_MAX_AGE",
    "REFRESH_OVERLAP_SECONDS",
    "REFRESH_CATCH_UP_GENERATIONS",
    "INVALID_GRANT_STATUS",
    "CLOCK_SKEW",
    "JWKS_MAX_AGE",
    "PASSWORD_GRANT",
    "KEY_ALGORITHM",
    "KEY_RSA_BITS",
    "KEY_PUBLISH_LEAD",
    "KEY_ROTATION_DAYS",
    "ALLOWED_HOSTS",
    "ADMIN_HOSTS",
    "TRUSTED_PROXIES",
    "REQUIRE_HTTPS",
    "CORS_ORIGINS",
    "ARGON2_MEMORY_KIB",
    "ARGON2_TIME_COST",
    "BRUTE_FORCE_THRESHOLD",
    "BRUTE_FORCE_LOCKOUT_DURATION",
    "ENABLE_RATE_LIMITING",
    "RATE_LIMIT_PER_USERNAME",
    "RATE_LIMIT_PER_IP",
    "RATE_LIMIT_FAILURES_PER_IP",
    "BROWSER_SESSION_IDLE",
    "BROWSER_SESSION_MAX_AGE",
    "REGISTRATION",
    "AUDIT_RETENTION_DAYS",
)

logger = logging.getLogger(__name__)


class Neighbours:
    """This process's view of the instances, as of its last look."""

    def __init__(self) -> None:
        self._warnings: tuple[str, ...] = ()
        self._complaint = ""
        self._has_looked = False

    def warnings(self) -> tuple[str, ...]:
        """For the probes, which strangers may ask: kinds alone."""
        return self._warnings

    def look(self) -> None:
        """Read who is there, and write that this one is, when nobody has for a while."""
        if not self._has_looked:
            forget_who_was_here()
            self._has_looked = True
        rows = list(alive().annotate(is_due=Q(seen_at__lte=Instant(plus=-WRITTEN_EVERY))))
        if not any(row.pk == ID and not row.is_due for row in rows):
            write()
            _measure_connections()
            rows = list(alive())
        without, differing = without_redis(rows), list(differences(rows))
        self._warnings = tuple(name for name, found in ((WITHOUT_REDIS, without), (SETTINGS_DIFFER, differing)) if found)
        metrics.INSTANCES.labels("alive").set(len(rows))
        for name in (WITHOUT_REDIS, SETTINGS_DIFFER):
            metrics.INSTANCE_WARNINGS.labels(name).set(name in self._warnings)
        self._complain([row.host for row in without], differing)

    def poll(self) -> None:
        """Look from a thread of its own for the rest of the process's life."""
        threading.Thread(target=self._run, name="instances", daemon=True).start()

    def _run(self) -> None:
        pauses.sleep_about(FIRST_LOOK_SECONDS)
        while True:
            self._look_or_report()
            pauses.sleep_about(LOOK_SECONDS)

    def _look_or_report(self) -> None:
        try:
            self.look()
        except STORE_DOWN as error:
            logger.warning("the instances could not be looked at", extra={"reason": type(error).__name__})
        except Exception:
            # Whatever it was, the next round may go well; a thread that ended would let this instance pass for dead.
            logger.exception("the instances could not be looked at")
        finally:
            connection.close()  # nobody asks anything on it until the next look

    def _complain(self, without: list[str], differing: list[str]) -> None:
        """In the log, when it has changed."""
        complaint = f"{without} {differing}" if without or differing else ""
        if complaint != self._complaint:
            self._complaint = complaint
            if complaint:
                extra = {"without_redis": without, "settings_that_differ": differing}
                logger.warning("the instances of this server do not go together; manage.py doctor says more", extra=extra)


neighbours = Neighbours()


def alive() -> Any:
    """The rows of those that run, as a query set."""
    return Instance.objects.filter(seen_at__gt=Instant(plus=-ALIVE_FOR)).order_by("started_at", "pk")


def write() -> None:
    """Write down that this instance is there, and remove those that are not any more."""
    row = Instance(
        pk=ID,
        host=_host(),
        port=settings.PORT,
        version=settings.VERSION,
        uses_redis=bool(settings.REDIS_URL),
        fingerprints=fingerprints(),
        started_at=Instant(),
        seen_at=Instant(),
    )
    Instance.objects.bulk_create([row], update_conflicts=True, unique_fields=["id"], update_fields=["seen_at"])
    Instance.objects.filter(seen_at__lte=Instant(plus=-FORGOTTEN_AFTER)).delete()
    _ask_redis(lambda: shared_store.connection().set(_mark(ID), "1", ex=FORGOTTEN_AFTER))


def forget_who_was_here() -> None:
    """Remove the row of who served before in this place, and was killed: or it would pass for a second instance for a while."""
    Instance.objects.filter(host=_host(), port=settings.PORT).exclude(pk=ID).delete()


def leave() -> None:
    """Take this instance's row away: it ends, and what takes its place is not a second one."""
    Instance.objects.filter(pk=ID).delete()


def has_mark(row: Instance) -> bool | None:
    """Whether Redis, as this process reaches it, holds the mark of that instance; None when it does not answer."""
    found: bool | None = _ask_redis(lambda: bool(shared_store.connection().exists(_mark(row.pk))))
    return found


def without_redis(rows: Sequence[Instance]) -> list[Instance]:
    """Those that count for themselves although there are others."""
    return [row for row in rows if not row.uses_redis] if len(rows) > 1 else []


def differences(rows: Sequence[Instance]) -> dict[str, list[list[Instance]]]:
    """The settings that are not the same everywhere, with the instances in groups that agree. One that some do not know is passed over."""
    found = {}
    for name in rows[0].fingerprints if rows else ():
        groups = defaultdict(list)
        for row in rows:
            groups[row.fingerprints.get(name)].append(row)
        if len(groups) > 1 and None not in groups:
            found[name] = sorted(groups.values(), key=len, reverse=True)
    return found


def fingerprints() -> dict[str, str]:
    """What tells whether another instance has the same settings."""
    return {name: _digest_of(getattr(settings, name)) for name in SAME_EVERYWHERE} | {SECRETS: _fingerprint_of_secrets()}


def _digest_of(value: Any) -> str:
    """Of a setting that is no secret."""
    parts = sorted(map(str, value)) if isinstance(value, frozenset | tuple | list) and not hasattr(value, "_fields") else [str(value)]
    return sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _fingerprint_of_secrets() -> str:
    # SECURITY: of all of them at once. With one for each, who has a copy of the database could try guesses at a weak one alone.
    text = json.dumps([getattr(settings, name) for name in SECRETS_OF_ALL])
    key = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"authserver instances").derive(text.encode())
    return hmac.digest(key, b"the secrets of an instance", sha256).hex()[:16]


def _ask_redis(question: Callable[[], Any]) -> Any:
    """None when there is no Redis, or it is away."""
    try:
        return shared_store.shared.ask(question)
    except shared_store.Away:
        return None


def _host() -> str:
    return socket.gethostname()[:255]


def _mark(instance_id: str) -> str:
    return f"authserver:instance:{instance_id}"


def _measure_connections() -> None:
    """Of PostgreSQL, which has so many for all who use it."""
    if connection.vendor != "postgresql":
        return
    sql = """
        SELECT sum(numbackends)::int, current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
        FROM pg_stat_database"""
    [(used, most)] = statements.fetch(sql, {})
    metrics.DATABASE_CONNECTIONS.labels("used").set(used)
    metrics.DATABASE_CONNECTIONS.labels("most").set(most)
