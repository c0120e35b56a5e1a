"""Whom the server works with: its other instances, Redis, the mail server, and who may come to the admin."""

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from smtplib import SMTPAuthenticationError
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core import mail
from django.db import connection
from django.http.request import validate_host

from accounts import shared_store
from oauth import instances as heartbeats
from oauth.doctor.findings import Finding, fail, ok, warn
from oauth.models import Instance

MAIL_SECONDS = 5
SMTP = "django.core.mail.backends.smtp.EmailBackend"


def instances() -> Iterator[Finding]:
    """Whether those that run have the same code and settings, and this command has theirs."""
    rows = list(heartbeats.alive())
    if not rows:
        mend = "Start the server. If it runs, this command asks another database than it does: compare AUTH_SERVICE__DB_URL."
        yield warn("instances", "None was seen within the last minute.", mend=mend)
        return
    if connection.vendor == "sqlite" and len(rows) > 1:
        mend = "Stop all but one, or move to PostgreSQL (AUTH_SERVICE__DB_URL)."
        yield fail("instances", f"{len(rows)} instances run on one SQLite, which serves one.", mend=mend)
    here = Instance(pk="here", host="this command", version=settings.VERSION, fingerprints=heartbeats.fingerprints())
    found = [*_differences([*rows, here]), *_versions([*rows, here])]
    yield from found
    if not found:
        yield ok("instances", f"{len(rows)} alive ({_hosts(rows)}), with the same code and settings as this command.")


def _differences(rows: Sequence[Instance]) -> Iterator[Finding]:
    for name, groups in heartbeats.differences(rows).items():
        apart = "; ".join(_hosts(group) for group in groups)
        if name == heartbeats.SECRETS:
            names = ", ".join(f"AUTH_SERVICE__{secret}" for secret in heartbeats.SECRETS_OF_ALL)
            mend = f"Give all of them the same, in the same order: {names}. sha256sum of the files tells which differs."
            yield fail("instances", f"The secrets are not the same everywhere. These go together: {apart}.", mend=mend)
        else:
            mend = "Give all of them the same value, and restart those that had another."
            yield warn("instances", f"AUTH_SERVICE__{name} is not the same everywhere. These go together: {apart}.", mend=mend)


def _versions(rows: Sequence[Instance]) -> Iterator[Finding]:
    versions = sorted({row.version for row in rows})
    if len(versions) > 1:
        apart = "; ".join(f"{version} ({_hosts([row for row in rows if row.version == version])})" for version in versions)
        yield warn(
            "instances", f"The version is not the same everywhere: {apart}.", mend="End the update: restart those that run the earlier one."
        )


def redis() -> Iterator[Finding]:
    """Whether what an address sends is counted once for all, in one Redis."""
    rows = list(heartbeats.alive())
    if not settings.REDIS_URL:
        yield judge_no_redis(processes=settings.PROCESSES, instances=len(rows))
        return
    from redis.exceptions import RedisError  # where there is a Redis: the library takes long to load

    try:
        seconds = _seconds_of_redis(RedisError)
    except (RedisError, OSError) as error:
        mend = "Start it, or mend AUTH_SERVICE__REDIS_URL. Nobody is refused meanwhile: each process counts for itself."
        yield fail("redis", f"It does not answer ({type(error).__name__}).", mend=mend)
        return
    yield judge_redis(
        seconds,
        without=heartbeats.without_redis(rows),
        elsewhere=[row for row in rows if row.uses_redis and heartbeats.has_mark(row) is False],
    )


def _seconds_of_redis(error_of_redis: type[Exception]) -> float:
    """What an answer takes. The server waits for 0.1 s alone: on a busy machine one may miss that, and three in a row do not."""
    for _ in range(2):
        with suppress(error_of_redis, OSError):
            return _seconds_of_a_ping()
    return _seconds_of_a_ping()


def _seconds_of_a_ping() -> float:
    asked = shared_store.connection()
    asked.ping()  # of a new connection this one waits for the handshake too
    began_at = time.perf_counter()
    asked.ping()
    return time.perf_counter() - began_at


def judge_no_redis(*, processes: int, instances: int) -> Finding:
    if processes * max(instances, 1) == 1:
        return ok("redis", "There is none, and one process needs none.")
    mend = "Set AUTH_SERVICE__REDIS_URL, the same everywhere, or run one instance with WEB_CONCURRENCY=1."
    found = f"There is none: {max(instances, 1) * processes} processes count what an address may send, each for itself."
    return warn("redis", found, mend=mend)


def judge_redis(seconds: float, *, without: Sequence[Instance], elsewhere: Sequence[Instance]) -> Finding:
    if elsewhere:
        mend = "Lead AUTH_SERVICE__REDIS_URL of all to the same Redis and database. If it was emptied just now, ask again in a minute."
        return fail("redis", f"It does not know these instances, which count in another one: {_hosts(elsewhere)}.", mend=mend)
    if without:
        return warn("redis", f"These instances have none: {_hosts(without)}.", mend="Set AUTH_SERVICE__REDIS_URL there too.")
    if seconds > shared_store.SLOW_SECONDS:
        mend = "Bring it nearer, or look at what else it does. A server that gets such answers ten times in a row leaves it alone."
        return warn("redis", f"It answers in {seconds * 1000:.0f} ms.", mend=mend)
    return ok("redis", f"It answers in {seconds * 1000:.1f} ms, and is the same for all instances.")


def mail_server() -> Iterator[Finding]:
    """Whether it takes this server's name and password. No mail is sent."""
    if settings.EMAIL_BACKEND != SMTP:
        mend = "Set AUTH_SERVICE__EMAIL_URL to your mail server: without it nobody resets a password or changes an address."
        found = "No mail leaves this server."
        yield ok("mail server", found) if settings.DEVELOPMENT else warn("mail server", found, mend=mend)
        return
    place = f"{settings.EMAIL_HOST}:{settings.EMAIL_PORT}"
    server: Any = mail.get_connection(timeout=MAIL_SECONDS)
    try:
        server.open()
        server.connection.ehlo_or_helo_if_needed()
        code, _ = server.connection.noop()
    except SMTPAuthenticationError:
        yield fail("mail server", f"{place} refuses the name or the password.", mend="Mend them in AUTH_SERVICE__EMAIL_URL.")
    except OSError as error:  # those of smtplib are of this kind too
        mend = "Is AUTH_SERVICE__EMAIL_URL right, and does the network let this machine through? Mails wait meanwhile, for a day."
        yield fail("mail server", f"{place} does not answer as it should ({type(error).__name__}).", mend=mend)
    else:
        yield judge_mail_server(code, place=place, is_in_clear=bool(settings.EMAIL_HOST_USER) and not _is_encrypted())
    finally:
        with suppress(OSError):  # what it says to the farewell is of no interest
            server.close()


def judge_mail_server(code: int, *, place: str, is_in_clear: bool) -> Finding:
    if code != 250:
        return fail("mail server", f"{place} answers {code}.", mend="Look at its log.")
    if is_in_clear:
        mend = "Use submission://, smtps:// or ?tls=true in AUTH_SERVICE__EMAIL_URL."
        return warn("mail server", f"{place} answers; its password travels in clear.", mend=mend)
    return ok("mail server", f"{place} answers.")


def admin() -> Iterator[Finding]:
    yield judge_admin(settings.ADMIN_HOSTS, issuer_host=urlsplit(settings.JWT_ISSUER).hostname or "", is_development=settings.DEVELOPMENT)


def judge_admin(hosts: Sequence[str], *, issuer_host: str, is_development: bool) -> Finding:
    mend = "Give the admin a name of its own, for your network alone, and set AUTH_SERVICE__ADMIN_HOSTS to it."
    if not hosts:
        found = "Whoever reaches the server reaches the sign-in of staff, under every name."
        return ok("admin", found) if is_development else warn("admin", found, mend=mend)
    if validate_host(issuer_host, hosts):
        return warn("admin", f"It is at {issuer_host}, which all apps and users ask.", mend=mend)
    return ok("admin", f"It is at {', '.join(hosts)} alone.")


def _is_encrypted() -> bool:
    return bool(settings.EMAIL_USE_TLS or settings.EMAIL_USE_SSL)


def _hosts(rows: Sequence[Instance]) -> str:
    return ", ".join(sorted(row.host for row in rows))
