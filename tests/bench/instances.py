"""`make bench-instances`: one, two and four instances behind nginx, in turns, and what a refresh and a sign-in leave in the stores."""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench import agreement, limits, machine, phases, report, server, written
from tests.bench.cpu import pss_megabytes
from tests.bench.fleet import Fleet, fleets
from tests.bench.phases import Measured
from tests.bench.report import figures_of, table

STEADY_PER_SECOND = 100.0  # refreshes, few enough that no process waits for a core
LOADS: dict[str, tuple[phases.Plan, float]] = {
    "refresh": (phases.refresh, 0.0),
    "refresh_steady": (phases.refresh, STEADY_PER_SECOND),
    "sign_in": (phases.sign_in, 0.0),
}
CPU = ("server_cpu_ms", "nginx_cpu_ms", "database_cpu_ms", "redis_cpu_ms")
FIGURES = ("per_second", "p50_ms", "p99_ms", *CPU, "all_cpu_ms", "generator_cpu_ms", *written.COUNTED)
NOTE = (
    "The machine has {cores} cores, which stores, nginx and the generator of the load share: more instances than cores answer no more.\n"
    "What to look at is all_cpu_ms, of the steady load above all: how much it grows is what instances cost each other."
)


@dataclass(frozen=True)
class Options:
    """`seconds` of each load at each size in all, over `rounds` turns; `sizes` are numbers of instances."""

    users: int
    seconds: float
    rounds: int
    sizes: tuple[int, ...]
    as_json: bool


def read(arguments: Sequence[str] | None = None) -> Options:
    parser = argparse.ArgumentParser(prog="make bench-instances", description="Measure instances of the server behind nginx.")
    parser.add_argument("--users", type=int, default=10_000, help="how many there are in the database, 64 at least")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each load at each size")
    parser.add_argument("--rounds", type=int, default=5, help="turns that the loads take")
    parser.add_argument("--sizes", default="1,2,4", help="numbers of instances, parted by commas")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    found = parser.parse_args(arguments)
    sizes = tuple(sorted({int(size) for size in found.sizes.split(",") if size.isdecimal()}))
    if found.users < 64 or found.seconds <= 0 or found.rounds < 1 or not sizes or sizes[0] < 1:
        parser.error("USERS begins at 64, SECONDS above 0, ROUNDS at 1, and SIZES is like 1,2,4")
    return Options(found.users, found.seconds, found.rounds, sizes, found.json)


def measure(options: Options, *, say: Callable[[str], None]) -> dict[str, Any]:
    """Every figure by its name. `failures` is empty when everything was answered as it should be."""
    with ExitStack() as stack:
        stores = stack.enter_context(server.stores(database="postgresql"))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        say(f"{max(options.sizes)} instances, {options.users} users")
        behind = stack.enter_context(fleets(stores, folder / "here", users=options.users, sizes=options.sizes))
        largest = behind[max(options.sizes)]
        answers, failures = agreement.agreed(largest)
        turns, speeds = _in_turns(behind, options, say=say)
        say("nothing, and what was written")
        run = {
            "what": "instances",
            "at": machine.now(),
            **machine.revision(server.ROOT),
            "machine": machine.described(stores),
            "options": asdict(options),
            "instances": {str(size): {load: _medians(parts) for load, parts in loads.items()} for size, loads in turns.items()},
            "ratios": _ratios(turns),
            "idle": _idle(largest, options.seconds / options.rounds),
            "limits": {name: round(median(found), 3) for name, found in speeds.items()},
            "pss_mb_of_an_instance": _memory(largest),
            "connections_of_an_instance": round(written.connections_of(largest.database_url) / len(largest.instances), 2),
            "bytes_per_row": written.bytes_per_row(largest.database_url),
            "wal_of_an_update": written.updates_in_place(largest.database_url),
            "agreement": answers,
        }
        wrong = [failure for loads in turns.values() for parts in loads.values() for part in parts for failure in part["failures"]]
        return run | {"failures": failures + wrong}


Turns = dict[int, dict[str, list[dict[str, Any]]]]


def _in_turns(behind: Mapping[int, Fleet], options: Options, *, say: Callable[[str], None]) -> tuple[Turns, dict[str, list[float]]]:
    """By size and load the figures of each round. Every second round begins with the largest."""
    seconds = options.seconds / options.rounds
    found: Turns = {size: {load: [] for load in LOADS} for size in behind}
    speeds: dict[str, list[float]] = {"rsa2048_signature_cpu_ms": [], "argon2_verify_cpu_ms": [], "synced_writes_per_second": []}
    for turn in range(options.rounds):
        for size in list(behind)[:: -1 if turn % 2 else 1]:
            for load, (plan, rate) in LOADS.items():
                say(f"{load}, {size} of {max(behind)}, {turn + 1} of {options.rounds}")
                measured = phases.run(behind[size], plan, seconds=seconds, rate=rate)
                found[size][load].append(_figures(measured, where=f"{load} of {size}"))
        speeds["rsa2048_signature_cpu_ms"].append(limits.rsa_signatures(seconds / 2).cpu_ms)
        speeds["argon2_verify_cpu_ms"].append(limits.argon2_verifies(seconds / 2, processes=server.processors()).cpu_ms)
        speeds["synced_writes_per_second"].append(written.synced_writes_per_second(seconds / 2))
    return found, speeds


def _figures(measured: Measured, *, where: str) -> dict[str, Any]:
    figures = figures_of(measured)
    counted = {name: round(number / max(1, measured.good()), 3) for name, number in measured.spent.counted.items()}
    failures = [f"{where} instances: {failure}" for failure in measured.failures()]
    return {**figures, **counted, "all_cpu_ms": round(sum(figures[name] for name in CPU), 3), "failures": failures}


def _medians(parts: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """None where nothing was answered in any round."""
    known = {name: [part[name] for part in parts if part[name] is not None] for name in FIGURES}
    return {name: round(median(values), 3) if values else None for name, values in known.items()}


def _ratios(turns: Turns) -> dict[str, float]:
    """Of each size to the smallest, in the same round: the median."""
    [smallest, *others] = turns
    return {
        f"{load}_{figure}_{size}_per_{smallest}": round(
            median(
                part[figure] / base[figure] for part, base in zip(turns[size][load], turns[smallest][load], strict=True) if base[figure]
            ),
            3,
        )
        for size in others
        for load in LOADS
        for figure in ("per_second", "all_cpu_ms")
    }


def _idle(fleet: Fleet, seconds: float) -> dict[str, float]:
    """What one instance does in a second in which nobody asks it for anything."""
    with fleet.window() as spent:
        time.sleep(seconds)
    share = seconds * len(fleet.instances)
    counted = {name: spent.counted[name] for name in ("transactions", "wal_bytes", "redis_commands")}
    milliseconds = {f"{name}_cpu_ms": 1000 * spent.groups[name] for name in ("server", "database")}
    return {name: round(value / share, 2) for name, value in (milliseconds | counted).items()}


def _memory(fleet: Fleet) -> float:
    return round(median(sum(pss_megabytes([each.pid]).values()) for each in fleet.instances), 1)


def as_text(run: Mapping[str, Any]) -> str:
    """Tables of Markdown, so that they can be pasted."""
    measured = run["instances"]
    columns = [(size, load) for load in LOADS for size in measured]
    heads = [f"{load}, {size}" for size, load in columns]
    rows = [(name, *(measured[size][load][name] for size, load in columns)) for name in FIGURES]
    facts = {name: run[name] for name in ("pss_mb_of_an_instance", "connections_of_an_instance")}
    blocks = [
        f"{run['machine']['cpu']}, {run['machine']['cores']} cores, {run['machine']['database']}, revision {run['revision']}"
        f"{', with changes' if run['dirty'] else ''}",
        NOTE.format(cores=run["machine"]["cores"]),
        table(("a request, by instances", *heads), rows),
        table(("ratios", ""), run["ratios"].items()),
        table(("an instance that nobody asks, a second", ""), run["idle"].items()),
        table(("at best, on this machine, and what an instance takes", ""), (run["limits"] | facts).items()),
        table(
            ("bytes of a row", "rows", "table", "indexes"),
            [(name, each["rows"], each["table_bytes"], each["index_bytes"]) for name, each in run["bytes_per_row"].items()],
        ),
        table(("WAL bytes of an update in place", ""), run["wal_of_an_update"].items()),
        table(("checks between instances", "answers"), run["agreement"].items()),
    ]
    return "\n\n".join(blocks)


def main() -> int:
    asked, began_at = read(), time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - began_at:5.0f} s  {what}", file=sys.stderr, flush=True)

    run = measure(asked, say=say)
    line = json.dumps(run)
    report.append_to_history(line, root=server.ROOT)
    print(line if asked.as_json else as_text(run))
    for failure in run["failures"]:
        print(f"FAILED  {failure}", file=sys.stderr)
    return 1 if run["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
