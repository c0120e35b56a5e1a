"""`make bench-growth`: what refreshes and sign-ins cost before a million users, how their table grows, and what pruning costs others."""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import psycopg

from tests.bench import crowd as crowds
from tests.bench import machine, phases, pruning, server, spread, table_growth
from tests.bench.crowd import MADE_BEFORE, Crowd
from tests.bench.phases import Measured
from tests.bench.report import cpu_ms, figures_of, table
from tests.bench.server import Site
from tests.bench.spread import Known

KNOWN = 1000  # sessions whose tokens we have
SMALL_PART = 100  # the small set is this part of the large one
Say = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """`seconds` of each load in all, over `rounds` turns."""

    users: int
    sessions: int
    refreshes: int
    ended: int
    seconds: float
    rounds: int
    as_json: bool


def main() -> int:
    options, began_at = read(), time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - began_at:5.0f} s  {what}", file=sys.stderr, flush=True)

    run = measure(options, say=say)
    print(json.dumps(run) if options.as_json else as_text(run))
    for failure in run["failures"]:
        print(f"FAILED  {failure}", file=sys.stderr)
    return 1 if run["failures"] else 0


def read(arguments: Sequence[str] | None = None) -> Options:
    parser = argparse.ArgumentParser(prog="make bench-growth", description="Measure the server before a large database.")
    parser.add_argument("--users", type=int, default=1_000_000, help="of the large set, 12,800 at least")
    parser.add_argument("--sessions", type=int, default=10_000_000, help="of the large set, live ones")
    parser.add_argument("--refreshes", type=int, default=1_000_000, help="of 1,000 sessions, before the table is looked at")
    parser.add_argument("--ended", type=int, default=1_000_000, help="sessions of the large set that are to be pruned")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each load")
    parser.add_argument("--rounds", type=int, default=5, help="turns that the loads take")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    found = parser.parse_args(arguments)
    if found.users < 2 * MADE_BEFORE * SMALL_PART or found.sessions < KNOWN * SMALL_PART or found.ended < 1:
        parser.error(f"USERS begins at {2 * MADE_BEFORE * SMALL_PART}, SESSIONS at {KNOWN * SMALL_PART}, ENDED at 1")
    if found.refreshes < KNOWN or found.seconds <= 0 or found.rounds < 1:
        parser.error(f"REFRESHES begins at {KNOWN}, SECONDS above 0, ROUNDS at 1")
    return Options(found.users, found.sessions, found.refreshes, found.ended, found.seconds, found.rounds, found.json)


def measure(options: Options, *, say: Say) -> dict[str, Any]:
    """Every figure by its name. `failures` is empty when everything was answered as it should be."""
    small = Crowd(options.users // SMALL_PART, options.sessions // SMALL_PART)
    large = Crowd(options.users, options.sessions, ended=options.ended)
    with ExitStack() as stack:
        stores = stack.enter_context(server.stores(database="postgresql"))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        sites = {
            # Whoever serves would prune by themselves what is to be pruned while it is measured.
            name: stack.enter_context(
                server.site(name, stores, folder / name, root=server.ROOT, users=MADE_BEFORE, starts=1, AUTH_SERVICE__HOUSEKEEPING="false")
            )
            for name in ("small", "large")
        }
        with _much_wal(stores.postgres_url):
            for name, crowd in (("small", small), ("large", large)):
                say(f"{name}: {crowd.users} users, {crowd.sessions} live sessions, {crowd.ended} that have ended")
                crowds.fill_users(sites[name].database_url, crowd, say=say)
            alone = _filled(sites["small"], replace(small, sessions=KNOWN), say=say)
            say(f"{options.refreshes} refreshes of {KNOWN} sessions that are alone in their table")
            size = table_growth.after_refreshes(alone, options.refreshes)
            sets = {name: _filled(sites[name], crowd, say=say) for name, crowd in (("small", small), ("large", large))}
        loads = _in_turns(sets, options, say=say)
        say("refreshes at a steady pace, alone and beside manage.py prune")
        beside, pruned = pruning.beside(sets["large"], seconds=options.seconds / 2)
        run = {
            "at": machine.now(),
            **machine.revision(server.ROOT),
            "machine": machine.described(stores),
            "options": asdict(options),
            "loads": {name: figures_of(each) for name, each in loads.items()},
            "size": size,
            "pruning": {name: figures_of(each) for name, each in beside.items()} | pruned,
            "failures": [f"{name}: {failure}" for name, each in {**loads, **beside}.items() for failure in each.failures()],
        }
        return run | {"ratios": ratios_of(run)}


def ratios_of(run: dict[str, Any]) -> dict[str, float]:
    loads, size, beside = run["loads"], run["size"], run["pruning"]
    pairs = {
        "refresh_cpu_large_per_small": (cpu_ms(loads["refresh, large"]), cpu_ms(loads["refresh, small"])),
        "sign_in_cpu_large_per_small": (cpu_ms(loads["sign_in, large"]), cpu_ms(loads["sign_in, small"])),
        "size_after_per_before": (sum(size["after"].values()), sum(size["before"].values())),
        "updates_in_place": (size["updated_in_place"], size["updated"]),
        "p99_pruning_per_idle": (beside["pruning"]["p99_ms"], beside["idle"]["p99_ms"]),
    }
    return {name: round(one / other, 3) for name, (one, other) in pairs.items()}


def as_text(run: dict[str, Any]) -> str:
    """Tables of Markdown, so that they can be pasted."""
    options, columns = run["options"], ("requests", "per_second", "p50_ms", "p99_ms", "server_cpu_ms", "database_cpu_ms", "redis_cpu_ms")
    rows = [(name, *(figures[column] for column in columns)) for name, figures in run["loads"].items()]
    rows += [
        (f"{pruning.PACE:g} refreshes a second, {name}", *(run["pruning"][name][column] for column in columns))
        for name in ("idle", "pruning")
    ]
    sizes = [(name, *(run["size"][when][name] for when in ("before", "after"))) for name in ("table", "indexes")]
    blocks = [
        f"{run['machine']['cpu']}, {run['machine']['cores']} cores, {run['machine']['database']}, revision {run['revision']}\n"
        f"large: {options['users']} users, {options['sessions']} live sessions and {options['ended']} that have ended; "
        f"small: a {SMALL_PART}th of the users and of the live sessions",
        table(("", *columns), rows),
        table((f"bytes of oauth_session, {KNOWN} sessions", "before", f"after {run['size']['updated']} refreshes"), sizes),
        table(("ratios", ""), run["ratios"].items()),
        f"{run['pruning']['removed']} sessions pruned in {run['pruning']['seconds']} seconds",
    ]
    return "\n\n".join(blocks)


def _filled(site: Site, crowd: Crowd, *, say: Say) -> Known:
    crowds.fill_sessions(site.database_url, crowd, say=say)
    return Known(replace(site, users=crowd.users), crowds.known_sessions(site.database_url, crowd, number=KNOWN))


def _in_turns(sets: dict[str, Known], options: Options, *, say: Say) -> dict[str, Measured]:
    """Both sets are served all the time; the loads go to one and the other."""
    parts: dict[str, list[Measured]] = {f"{load}, {name}": [] for load in ("refresh", "sign_in") for name in sets}
    for turn in range(options.rounds):
        say(f"refreshes and sign-ins, {turn + 1} of {options.rounds}")
        for name in sorted(sets, reverse=turn % 2 == 0):
            known, seconds = sets[name], options.seconds / options.rounds
            parts[f"refresh, {name}"].append(phases.run(known.site, known.refreshes(), seconds=seconds))
            parts[f"sign_in, {name}"].append(phases.run(known.site, spread.sign_ins, seconds=seconds))
    return {name: phases.together(each) for name, each in parts.items()}


@contextmanager
def _much_wal(url: str) -> Iterator[None]:
    """A checkpoint each gigabyte would write the same pages again and again while the databases are filled."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET max_wal_size = '16GB'")
        connection.execute("SELECT pg_reload_conf()")
        yield
        connection.execute("ALTER SYSTEM RESET max_wal_size")
        connection.execute("SELECT pg_reload_conf()")
        connection.execute("CHECKPOINT")


if __name__ == "__main__":
    sys.exit(main())
