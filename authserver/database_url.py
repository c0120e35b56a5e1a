"""The URL of the database as Django's settings, several hosts of PostgreSQL included; one that does not parse stops the start."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dj_database_url

from authserver.env import ConfigurationError

NAME = "AUTH_SERVICE__DB_URL"
SQLITE, POSTGRESQL = "django.db.backends.sqlite3", "django.db.backends.postgresql"

# A server that is gone without a word is given up: a thread that waits for it serves nobody. connect_timeout counts for each host.
_GIVEN_UP = {"connect_timeout": 2, "tcp_user_timeout": 4000, "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 2}
# Statements are prepared once for each connection: planning a refresh costs more than doing it.
_PREPARED = {"server_side_binding": True, "prepare_threshold": 2}
# A pooler gives each transaction another connection: what one of them has prepared, the next does not know.
_POOLED = {"server_side_binding": True, "prepare_threshold": None}
LIMITS = "-c statement_timeout=2000 -c lock_timeout=1000"


def settings_of(url: str, *, folder: Path, serving: bool, pooled: bool) -> dict[str, Any]:
    """Django's settings for the database. A relative path of SQLite starts in `folder`.

    `serving`: of a server, which waits for no statement for long. `pooled`: the URL leads to a pooler that gives a connection for a
    transaction at a time. Raises ConfigurationError.
    """
    try:
        database = _parse(url)
    except (ValueError, KeyError, dj_database_url.UnknownSchemeError):
        # SECURITY: without the value, which may hold a password.
        raise ConfigurationError(
            f"{NAME} must look like sqlite:///data/auth.db or postgresql://user:password@host/name,"
            " or postgresql://user:password@host1:5432,host2:5432/name?target_session_attrs=primary."
        ) from None
    engine = database["ENGINE"]
    if engine == SQLITE:
        return database | _of_sqlite(database["NAME"], folder=folder)
    if engine == POSTGRESQL:
        return database | _of_postgresql(database.get("OPTIONS", {}), serving=serving, pooled=pooled)
    raise ConfigurationError(f"{NAME} names {engine}, but only sqlite and postgresql are supported.")


def _parse(url: str) -> dict[str, Any]:
    """What the library makes of it; it knows one host alone. Raises ValueError, KeyError, UnknownSchemeError."""
    parts = urlsplit(url)
    credentials, at, hosts = parts.netloc.rpartition("@")
    if "," not in hosts:
        return dict(dj_database_url.parse(url))
    each = [urlsplit(f"//{host}") for host in hosts.split(",")]
    if not all(host.hostname for host in each):
        raise ValueError
    database = dict(dj_database_url.parse(parts._replace(netloc=f"{credentials}{at}localhost").geturl()))
    return database | {
        "HOST": ",".join(str(host.hostname) for host in each),
        "PORT": ",".join(str(host.port or 5432) for host in each),
    }


def _of_sqlite(name: str, *, folder: Path) -> dict[str, Any]:
    options = {
        # Writers queue at BEGIN; a deferred transaction that turns into a writer fails at once instead.
        "transaction_mode": "IMMEDIATE",
        "timeout": 5,
        "init_command": "PRAGMA journal_mode=WAL;",
    }
    return {"NAME": name if name == ":memory:" else folder / name, "OPTIONS": options}


def _of_postgresql(asked: dict[str, Any], *, serving: bool, pooled: bool) -> dict[str, Any]:
    options = _GIVEN_UP | (_POOLED if pooled else _PREPARED) | asked
    if serving and not pooled:  # a pooler passes no startup options on: there the limits are the role's
        options["options"] = f"{options.get('options', '')} {LIMITS}".strip()
    return {
        "ENGINE": "authserver.postgresql" if serving else POSTGRESQL,
        "OPTIONS": options,
        # No CONN_HEALTH_CHECKS, a round trip more: the first read of each request is repeated instead (accounts.reconnect).
        "CONN_MAX_AGE": None,
        "DISABLE_SERVER_SIDE_CURSORS": pooled,
    }
