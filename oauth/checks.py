"""System checks of what concerns tokens (manage.py check --deploy)."""

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
