"""`make bench-growth`: what a refresh and a sign-in cost among very many users and sessions, beside what they cost among few.

One PostgreSQL with fsync, two databases with a server each, measured in turns. Then how much the table grows by refreshes, and what
pruning does to those who are served meanwhile.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psycopg

from tests.bench import kinds, machine, many_rows, phases, server
from tests.bench.kinds import Kind
from tests.bench.phases import Caller, Measured
from tests.bench.report import append_to_history, cpu_ms, figures_of, table
from tests.bench.server import ROOT, Site

PER_CHAIN = 8  # sessions that a connection refreshes in turn
SESSIONS_REFRESHED = 1000
STEADY_PER_SECOND = 50.0
LONG_OVER = -60  # days
FEW_USERS = 10_000


@dataclass(frozen=True)
class Options:
    users: int
    sessions: int
    refreshes: int
    ended: int
    seconds: float
    rounds: int
    as_json: bool


class InTurn:
    """Refreshes of several sessions, one after the other."""

    name = "refresh"

    def __init__(self, chains: Sequence[kinds.Refresh]) -> None:
        self._chains, self._at = chains, -1

    def next(self) -> bytes:
        self._at = (self._at + 1) % len(self._chains)
        return self._chains[self._at].next()

    def learn(self, status: str, body: bytes) -> bool:
        return self._chains[self._at].learn(status, body)


class Place:
    """A site, and the tokens of sessions opened in it beforehand: each load takes fresh ones, for it leaves none behind."""

    def __init__(self, site: Site, tokens: list[bytes]) -> None:
        self.site, self._tokens = site, tokens

    def run(self, name: str, *, seconds: float) -> Measured:
        number = phases.CONNECTIONS * PER_CHAIN
        mine, self._tokens = (self._tokens[:number], self._tokens[number:]) if name == "refresh" else ([], self._tokens)
        plan = {"refresh": lambda caller: _chains(caller, mine), "sign_in": _sign_in}[name]
        return phases.run(self.site, plan, seconds=seconds)


def _chains(caller: Caller, tokens: Sequence[bytes]) -> Callable[[], Kind]:
    mine = InTurn([kinds.Refresh(caller.wire, refresh_token=token) for token in tokens[caller.number :: caller.of]])
    return lambda: mine


def _sign_in(caller: Caller) -> Callable[[], Kind]:
    users = many_rows.anywhere(caller.site.users, seed=caller.number, of=caller.of, remainder=caller.number)
    kind = kinds.SignIn(caller.wire, users=users)
    return lambda: kind


def read(arguments: Sequence[str] | None = None) -> Options:
    parser = argparse.ArgumentParser(prog="make bench-growth", description="Measure the server among many users and sessions.")
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--sessions", type=int, default=10_000_000)
    parser.add_argument("--refreshes", type=int, default=1_000_000, help=f"of {SESSIONS_REFRESHED} sessions, for the size of the table")
    parser.add_argument("--ended", type=int, default=1_000_000, help="sessions that are pruned while the server serves")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each load and turn")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    found = parser.parse_args(arguments)
    return Options(found.users, found.sessions, found.refreshes, found.ended, found.seconds, found.rounds, found.json)


def measure(options: Options, *, say: Callable[[str], None]) -> dict[str, Any]:
    with ExitStack() as stack:
        stores = stack.enter_context(server.stores(database="postgresql"))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        opened = phases.CONNECTIONS * PER_CHAIN * options.rounds
        few_users = min(FEW_USERS, options.users)
        places = {}
        for name, users, sessions in (("few", few_users, few_users), ("many", options.users, options.sessions)):
            site = stack.enter_context(server.site(name, stores, folder / name, root=ROOT, users=few_users, starts=1))
            places[name] = Place(*many_rows.grow(site, users=users, sessions=sessions, opened=opened, say=say))
        measured = _in_turns(places, options, say=say)
        say("the table, while it is refreshed")
        size = _refreshed(places["few"].site, options.refreshes)
        beside = _beside_pruning(places["few"].site, options, say=say)
        loads = {name: {load: figures_of(each) for load, each in found.items()} for name, found in measured.items()}
        return {
            "at": machine.now(),
            **machine.revision(ROOT),
            "machine": machine.described(stores),
            "options": asdict(options),
            "loads": loads,
            "table": size,
            "pruning": beside,
            "ratios": {
                **{
                    f"{load}_cpu_many_per_few": _ratio(cpu_ms(loads["many"][load]), cpu_ms(loads["few"][load]))
                    for load in ("refresh", "sign_in")
                },
                "table_after_refreshes": _ratio(size["after"]["bytes"], size["before"]["bytes"]),
                "hot_updates": _ratio(
                    size["after"]["hot_updates"] - size["before"]["hot_updates"], size["after"]["updates"] - size["before"]["updates"]
                ),
                "p99_pruning_per_idle": _ratio(beside["pruning"]["p99_ms"], beside["idle"]["p99_ms"]),
            },
            "failures": [f"{name}: {failure}" for name, found in measured.items() for each in found.values() for failure in each.failures()]
            + beside.pop("failures"),
        }


def _in_turns(places: dict[str, Place], options: Options, *, say: Callable[[str], None]) -> dict[str, dict[str, Measured]]:
    parts: dict[str, dict[str, list[Measured]]] = {name: {"refresh": [], "sign_in": []} for name in places}
    for turn in range(1, options.rounds + 1):
        for load in ("refresh", "sign_in"):
            for name, place in places.items():
                say(f"{load} among {name}, {turn} of {options.rounds}")
                parts[name][load].append(place.run(load, seconds=options.seconds))
    return {name: {load: phases.together(found) for load, found in loads.items()} for name, loads in parts.items()}


def _refreshed(site: Site, refreshes: int) -> dict[str, Any]:
    """Size of the table and its indexes before and after, vacuumed both times."""
    with psycopg.connect(site.database_url, autocommit=True) as connection:
        connection.execute("VACUUM oauth_session")
    command = [sys.executable, "-P", str(Path(__file__).with_name("refresh_rows.py")), str(refreshes), str(SESSIONS_REFRESHED)]
    environment = site.environment | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, encoding="utf-8", check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _beside_pruning(site: Site, options: Options, *, say: Callable[[str], None]) -> dict[str, Any]:
    """Refreshes at a steady pace, by themselves and while sessions are pruned that ended long ago."""
    parts: dict[str, list[Measured]] = {"idle": [], "pruning": []}
    removed, seconds = 0, 0.0
    for turn in range(1, options.rounds + 1):
        say(f"beside pruning, {turn} of {options.rounds}")
        parts["idle"].append(phases.run(site, phases.refresh, seconds=options.seconds, rate=STEADY_PER_SECOND))
        with psycopg.connect(site.database_url, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
            many_rows.add_sessions(connection, options.ended // options.rounds, among=site.users, days_left=LONG_OVER)
            connection.execute("VACUUM ANALYZE oauth_session")
        began_at = time.monotonic()
        with subprocess.Popen([sys.executable, "manage.py", "prune"], cwd=ROOT, env=site.environment, stdout=subprocess.PIPE) as pruning:
            while pruning.poll() is None:
                parts["pruning"].append(phases.run(site, phases.refresh, seconds=options.seconds, rate=STEADY_PER_SECOND))
            assert pruning.returncode == 0, "manage.py prune failed"
            seconds += time.monotonic() - began_at
            removed += options.ended // options.rounds
    together = {name: phases.together(found) for name, found in parts.items()}
    return {
        **{name: figures_of(each) for name, each in together.items()},
        "removed_per_second": round(removed / seconds),
        "failures": [f"{name}: {failure}" for name, each in together.items() for failure in each.failures()],
    }


def _ratio(one: float | None, other: float | None) -> float | None:
    return round(one / other, 3) if one is not None and other else None


def as_text(run: dict[str, Any]) -> str:
    """Tables of Markdown, so that they can be pasted."""
    columns = ("per_second", "p50_ms", "p99_ms", "server_cpu_ms", "database_cpu_ms", "redis_cpu_ms")
    rows = [
        (f"{load} among {name}", *(figures[each] for each in columns))
        for name, found in run["loads"].items()
        for load, figures in found.items()
    ]
    rows += [(f"refreshes of 50 a second, {name}", *(run["pruning"][name][each] for each in columns)) for name in ("idle", "pruning")]
    sizes = [(when, run["table"][when]["bytes"], run["table"][when]["table_bytes"]) for when in ("before", "after")]
    options = run["options"]
    return "\n\n".join(
        [
            f"{options['users']} users and {options['sessions']} sessions beside {min(FEW_USERS, options['users'])} of each; "
            f"{run['machine']['cpu']}, {run['machine']['database']}",
            table(("", *columns), rows),
            table(
                (f"{run['table']['refreshes']} refreshes of {SESSIONS_REFRESHED} sessions", "bytes with indexes", "bytes of the table"),
                sizes,
            ),
            table(("sessions pruned a second", ""), [("", run["pruning"]["removed_per_second"])]),
            table(("ratios", ""), run["ratios"].items()),
        ]
    )


def main() -> int:
    asked, began_at = read(), time.monotonic()
    run = measure(asked, say=lambda what: print(f"{time.monotonic() - began_at:5.0f} s  {what}", file=sys.stderr, flush=True))
    append_to_history(json.dumps(run), root=ROOT)
    print(json.dumps(run) if asked.as_json else as_text(run))
    for failure in run["failures"]:
        print(f"FAILED  {failure}", file=sys.stderr)
    return 1 if run["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
