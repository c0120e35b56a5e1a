"""System checks of what concerns tokens (manage.py check --deploy)."""

from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register
from django.http.request import validate_host


@register(Tags.security, deploy=True)
def issuer_is_served(**kwargs: Any) -> list[CheckMessage]:
    host = urlsplit(settings.JWT_ISSUER).hostname or ""
    if validate_host(host, settings.ALLOWED_HOSTS):
        return []
    return [
        Warning(
            f"The issuer's host {host} is not among the hosts that this server answers to.",
            hint=f"Add {host} to AUTH_SERVICE__ALLOWED_HOSTS.",
            id="oauth.W001",
        )
    ]


@register(Tags.security, deploy=True)
def development_is_not_deployed(**kwargs: Any) -> list[CheckMessage]:
    if settings.DEVELOPMENT:
        return [
            Warning(
                "ENVIRONMENT is development: secrets are made up, HTTPS is not required, staff sign in with a password alone.",
                hint="Remove ENVIRONMENT=development; production is the default.",
                id="oauth.W002",
            )
        ]
    return []


@register(Tags.security, deploy=True)
def access_tokens_are_short_lived(**kwargs: Any) -> list[CheckMessage]:
    if timedelta(hours=1) >= settings.ACCESS_TOKEN_LIFETIME:
        return []
    return [
        Warning(
            "Access tokens live for more than an hour: a stolen one works as long, wherever it is not introspected (RFC 9700 §2.2).",
            hint="Lower AUTH_SERVICE__ACCESS_TOKEN_LIFETIME; a refresh costs an app one request.",
            id="oauth.W003",
        )
    ]


@register(Tags.security, deploy=True)
def refresh_tokens_end_without_use(**kwargs: Any) -> list[CheckMessage]:
    if timedelta(days=90) >= settings.REFRESH_TOKEN_LIFETIME:
        return []
    return [
        Warning(
            "Refresh tokens live for more than 90 days without use (RFC 9700 §4.14.2).",
            hint="Lower AUTH_SERVICE__REFRESH_TOKEN_LIFETIME.",
            id="oauth.W004",
        )
    ]


@register(Tags.security, deploy=True)
def spent_refresh_tokens_are_refused(**kwargs: Any) -> list[CheckMessage]:
    if settings.REFRESH_OVERLAP_SECONDS == 0:
        return []
    return [
        Warning(
            "For some seconds after a refresh the spent token still works, for every client (RFC 9700 §4.14.2).",
            hint="Remove AUTH_SERVICE__REFRESH_OVERLAP_SECONDS, and give the overlap to the clients that need it.",
            id="oauth.W005",
        )
    ]


@register(Tags.security, deploy=True)
def signing_keys_take_turns(**kwargs: Any) -> list[CheckMessage]:
    if settings.KEY_ROTATION_PERIOD is not None:
        return []
    return [
        Warning(
            "Signing keys do not take turns by themselves: a key that was copied unnoticed is good for ever.",
            hint="Remove AUTH_SERVICE__KEY_ROTATION_DAYS=0; 90 is the default.",
            id="oauth.W006",
        )
    ]
