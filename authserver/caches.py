"""The caches in which ceilings are counted, out of the URL of Redis; one that does not parse stops the start."""

from typing import Any
from urllib.parse import parse_qsl, urlsplit

from authserver.env import ConfigurationError

NAME = "AUTH_SERVICE__REDIS_URL"
SCHEMES = ("redis", "rediss", "unix")
TIMEOUT_SECONDS = 0.1
COUNTERS_HERE = 50_000


def settings_of(url: str) -> dict[str, Any]:
    """Django's CACHES; without an URL this process counts for itself. Raises ConfigurationError."""
    here = {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        # Of more counters than this the ones that were longest not looked at go, a third at once.
        "OPTIONS": {"MAX_ENTRIES": COUNTERS_HERE},
    }
    made: dict[str, Any] = {"default": here, "ceilings": {"BACKEND": "accounts.ceiling_store.CeilingStore"}}
    return made | {"redis": _redis(url)} if url else made


def _redis(url: str) -> dict[str, Any]:
    from redis.exceptions import RedisError  # where there is a Redis: the library takes long to load

    try:
        _ensure_understood(url)
    except (ValueError, TypeError, RedisError):
        # SECURITY: without the value, which may hold a password.
        raise ConfigurationError(
            f"{NAME} must look like redis://:password@redis.example.com:6379/0, rediss://… for TLS, or unix:///path."
        ) from None
    return {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": [url],  # as text it would be cut at each comma
        "KEY_PREFIX": "authserver",
        "OPTIONS": {
            # SECURITY: the default reads what lies there with pickle, so who writes to Redis would run code here.
            "SERIALIZER": "django_redis.serializers.json.JSONSerializer",
            "SOCKET_CONNECT_TIMEOUT": TIMEOUT_SECONDS,
            "SOCKET_TIMEOUT": TIMEOUT_SECONDS,
        },
    }


def _ensure_understood(url: str) -> None:
    """Raises ValueError or TypeError, also for what redis-py passes over or finds out only when it connects."""
    from redis.connection import ConnectionPool

    parts = urlsplit(url)
    database = parts.path.strip("/")
    is_path = parts.scheme == "unix"
    if parts.scheme not in SCHEMES or parts.fragment or (is_path and not database) or not (is_path or parts.hostname):
        raise ValueError
    if not is_path and database and not (database.isascii() and database.isdigit()):
        raise ValueError
    parse_qsl(parts.query, strict_parsing=bool(parts.query))
    ConnectionPool.from_url(url).make_connection()
