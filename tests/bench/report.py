"""The figures of a run: as one JSON object, as tables for people, and as a line of the history."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench.phases import Measured

HISTORY = "build/bench/history.jsonl"  # in the project's folder, unless BENCH_HISTORY names another file
COLUMNS = (
    "per_second",
    "p50_ms",
    "p95_ms",
    "p99_ms",
    "server_cpu_ms",
    "database_cpu_ms",
    "redis_cpu_ms",
    "generator_cpu_ms",
    "others_cores",
    "stolen_cores",
)


def figures_of(measured: Measured) -> dict[str, Any]:
    """Rate, latencies and CPU a request; `others_cores` is what else kept this machine busy, `stolen_cores` other machines."""
    count, duration = measured.good(), measured.result.duration
    groups = {"server": 0.0, "database": 0.0, "redis": 0.0} | measured.spent.groups
    ours = sum(groups.values()) + measured.result.cpu_seconds
    return {
        "requests": count,
        "seconds": round(duration, 2),
        "per_second": round(count / duration, 1),
        **percentiles(measured.seconds()),
        **{f"{name}_cpu_ms": round(1000 * seconds / max(1, count), 3) for name, seconds in groups.items()},
        "generator_cpu_ms": round(1000 * measured.result.cpu_seconds / max(1, count), 3),
        "others_cores": round(max(0.0, measured.spent.machine - ours) / duration, 2),
        "stolen_cores": round(measured.spent.stolen / duration, 2),
        "answers": measured.answers(),
    }


def percentiles(seconds: list[float]) -> dict[str, float | None]:
    """Milliseconds; None where nothing was answered."""
    ordered = sorted(seconds)
    return {f"p{percent}_ms": _percentile(ordered, percent) for percent in (50, 95, 99)}


def cpu_ms(figures: Mapping[str, Any]) -> float:
    """Of server and stores together, for one request."""
    return float(figures["server_cpu_ms"] + figures["database_cpu_ms"] + figures["redis_cpu_ms"])


def append_to_history(line: str, *, root: Path) -> None:
    file = root / os.environ.get("BENCH_HISTORY", HISTORY)
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as history:
        history.write(f"{line}\n")


def as_text(run: Mapping[str, Any]) -> str:
    """Tables of Markdown, so that they can be pasted."""
    machine, limits = run["machine"], run["limits"]
    changed = ", with changes" if run["dirty"] else ""
    blocks = [
        f"{machine['cpu']}, {machine['cores']} cores, Python {machine['python']}, {machine['database']}\n"
        f"passwords by {machine['argon2']}, huge pages {machine['huge_pages']}\n"
        f"revision {run['revision']}{changed}, "
        f"{run['processes']} processes, {run['options']['users']} users, {run['options']['seconds']:g} seconds of each load",
        table(("", *COLUMNS), [(name, *(figures[column] for column in COLUMNS)) for name, figures in run["phases"].items()]),
        table(("at best, on this machine", ""), limits.items()),
        table(("refreshes of a mix of 50 a second", "p50_ms", "p99_ms", "guesses a second"), _rows_of_floods(run["floods"])),
        table(("refused", "p50_ms", "p95_ms"), [(name, each["p50_ms"], each["p95_ms"]) for name, each in run["refusals"].items()]),
        table(("memory (PSS), MB", ""), run["pss_mb"].items()),
        table(("cold start", ""), [("seconds", run["cold_start_seconds"]), ("seconds of CPU", run["cold_start_cpu_seconds"])]),
        table(("ratios", ""), run["ratios"].items()),
    ]
    return "\n\n".join(blocks)


def _rows_of_floods(floods: Mapping[str, Any]) -> list[tuple[object, ...]]:
    return [(name, each["refresh"]["p50_ms"], each["refresh"]["p99_ms"], each["guesses_per_second"]) for name, each in floods.items()]


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join("" if cell is None else str(cell) for cell in line) + " |" for line in lines)


def _percentile(ordered: Sequence[float], percent: int) -> float | None:
    return round(1000 * ordered[min(len(ordered) - 1, len(ordered) * percent // 100)], 2) if ordered else None
