"""System checks of what concerns people: storage and passwords (manage.py check --deploy)."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Info, Tags, Warning, register

OWASP_MEMORY_KIB = 19456


@register(Tags.compatibility)
def configuration_notes(**kwargs: Any) -> list[CheckMessage]:
    return [Info(note, id="accounts.I001") for note in settings.CONFIGURATION_NOTES]


@register(Tags.security, deploy=True)
def database_serves_processes(**kwargs: Any) -> list[CheckMessage]:
    if settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        return [
            Warning(
                "SQLite serves one process on one machine.",
                hint="Set AUTH_SERVICE__DB_URL to a PostgreSQL database before you run more.",
                id="accounts.W001",
            )
        ]
    return []


@register(Tags.security, deploy=True)
def password_hash_is_strong(**kwargs: Any) -> list[CheckMessage]:
    if settings.ARGON2_MEMORY_KIB < OWASP_MEMORY_KIB or settings.ARGON2_TIME_COST < 2:
        return [
            Warning(
                f"Argon2id runs with {settings.ARGON2_MEMORY_KIB} KiB and {settings.ARGON2_TIME_COST} passes, less than OWASP asks for.",
                hint="Remove AUTH_SERVICE__ARGON2_MEMORY_KIB and AUTH_SERVICE__ARGON2_TIME_COST, or raise them.",
                id="accounts.W002",
            )
        ]
    return []


@register(Tags.security, deploy=True)
def mails_leave_the_server(**kwargs: Any) -> list[CheckMessage]:
    if settings.EMAIL_BACKEND != "django.core.mail.backends.smtp.EmailBackend":
        return [
            Warning(
                "No mail leaves this server, so nobody can change their e-mail address.",
                hint="Set AUTH_SERVICE__EMAIL_URL to your mail server, such as submission://user:password@mail.example.com.",
                id="accounts.W003",
            )
        ]
    return []


@register(Tags.security, deploy=True)
def processes_count_together(**kwargs: Any) -> list[CheckMessage]:
    if settings.ENABLE_RATE_LIMITING and settings.PROCESSES > 1 and not settings.REDIS_URL:
        return [
            Warning(
                f"{settings.PROCESSES} processes count what an address may send each for itself, so it may send that many times as much.",
                hint="Set AUTH_SERVICE__REDIS_URL, or WEB_CONCURRENCY to 1.",
                id="accounts.W004",
            )
        ]
    return []
