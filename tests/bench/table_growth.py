"""How large the table of sessions is after many refreshes of the same sessions, and how many of them were written in place (HOT)."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg

from tests.bench import kinds, server
from tests.bench.server import Site
from tests.bench.spread import Known


def after_refreshes(known: Known, count: int) -> dict[str, Any]:
    """Bytes before and after, vacuumed both times; rows that were updated; seconds."""
    site = known.site
    before, written = _size(site), _updates(site)
    began_at = time.monotonic()
    refreshed = _refresh(known, count)
    seconds = time.monotonic() - began_at
    server.settle(site.database_url)
    updated, in_place = (after - earlier for after, earlier in zip(_updates(site), written, strict=True))
    if updated != refreshed:
        raise RuntimeError(f"{refreshed} refreshes updated {updated} rows")
    return {"before": before, "after": _size(site), "updated": updated, "updated_in_place": in_place, "seconds": round(seconds, 1)}


def _refresh(known: Known, count: int) -> int:
    """By several processes at once, each with its share of the sessions."""
    number, tokens = 2 * server.processors(), known.tokens()
    # How a table grows does not depend on when its log is on the disk.
    environment = known.site.environment | {"PYTHONPATH": str(server.ROOT), "PGOPTIONS": "-c synchronous_commit=off"}
    command = [sys.executable, "-P", str(Path(__file__).with_name("refreshes.py")), kinds.PUBLIC_CLIENT, str(count // number)]

    def spend(share: list[str]) -> None:
        subprocess.run(command, cwd=server.ROOT, env=environment, input="\n".join(share), encoding="utf-8", check=True)

    with ThreadPoolExecutor(number) as pool:
        list(pool.map(spend, [tokens[index::number] for index in range(number)]))
    return count // number * number


def _size(site: Site) -> dict[str, int]:
    """Bytes."""
    with psycopg.connect(site.database_url) as connection:
        table_size, indexes = connection.execute("SELECT pg_table_size('oauth_session'), pg_indexes_size('oauth_session')").fetchone()
    return {"table": table_size, "indexes": indexes}


def _updates(site: Site) -> tuple[int, int]:
    """How many rows of the table were updated so far, and how many of them in place."""
    with psycopg.connect(site.database_url) as connection:
        return connection.execute("SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'oauth_session'").fetchone()
