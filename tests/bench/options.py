"""What a run is asked for; `make bench` passes its variables on."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from tests.e2e.servers import MODULES


@dataclass(frozen=True)
class Options:
    """`seconds` of each load in all, over `rounds` turns; `base` is a revision to compare with, under gunicorn, or empty."""

    database: str
    users: int
    seconds: float
    rounds: int
    base: str
    served_by: str
    argon2: str
    as_json: bool


def read(arguments: Sequence[str] | None = None) -> Options:
    parser = argparse.ArgumentParser(prog="make bench", description="Measure the server as it is deployed.")
    parser.add_argument("--db", choices=("postgresql", "sqlite"), default="postgresql")
    parser.add_argument("--users", type=int, default=10_000, help="how many there are in the database, 64 at least")
    parser.add_argument("--seconds", type=float, default=9.0, help="of each load")
    parser.add_argument("--rounds", type=int, default=3, help="turns that the loads take")
    parser.add_argument("--base", default="", help="a revision to compare with, in turns")
    parser.add_argument("--server", choices=tuple(MODULES), default="gunicorn", help="what serves it")
    parser.add_argument("--argon2", choices=("built", "libsodium"), default="built", help="what hashes: what make argon2 built, if it did")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    found = parser.parse_args(arguments)
    if found.users < 64 or found.seconds <= 0 or found.rounds < 1:
        parser.error("USERS begins at 64, SECONDS above 0, ROUNDS at 1")
    return Options(found.db, found.users, found.seconds, found.rounds, found.base, found.server, found.argon2, found.json)
