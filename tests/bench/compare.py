"""Two revisions side by side: both run at the same time on databases of their own, and the loads go to one and the other in turns."""

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from statistics import median
from subprocess import CalledProcessError
from typing import Any

from tests.bench import machine, phases, server
from tests.bench.options import Options
from tests.bench.report import cpu_ms, figures_of, table
from tests.bench.suite import LOADS

LEAST_ROUNDS = 5  # a median of fewer is nobody's friend
FIGURES = ("per_second", "p50_ms", "p99_ms", "cpu_ms")


def measure(options: Options, *, say: Callable[[str], None]) -> dict[str, Any]:
    """By load and figure the medians of both, and this one's as a part of the base's."""
    rounds = max(options.rounds, LEAST_ROUNDS)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        base_root = stack.enter_context(worktree(options.base, folder / "worktree"))
        stores = stack.enter_context(server.stores(database=options.database))
        sites = []
        for label, root, served_by in (("base", base_root, "gunicorn"), ("here", server.ROOT, options.served_by)):
            say(f"{options.users} users for {label}")
            argon2 = server.argon2(options.argon2, root=root)
            site = server.site(label, stores, folder / label, root=root, users=options.users, starts=1, served_by=served_by, **argon2)
            sites.append(stack.enter_context(site))
        found: dict[str, dict[str, list[dict[str, Any]]]] = {name: {site.label: [] for site in sites} for name in LOADS}
        failures = []
        for turn in range(rounds):
            for name, plan in LOADS.items():
                say(f"{name}, {turn + 1} of {rounds}")
                for site in sites if turn % 2 == 0 else reversed(sites):
                    measured = phases.run(site, plan, seconds=options.seconds / rounds)
                    found[name][site.label].append(_with_cpu(figures_of(measured)))
                    failures += [f"{name} of {site.label}: {failure}" for failure in measured.failures()]
        return {
            "at": machine.now(),
            **machine.revision(server.ROOT),
            "base": machine.revision(base_root)["revision"],
            "machine": machine.described(stores) | {"argon2": {site.label: machine.argon2_of(site.served.pid) for site in sites}},
            "options": asdict(options) | {"rounds": rounds},
            "comparison": {name: compared(sides["base"], sides["here"]) for name, sides in found.items()},
            "failures": failures,
        }


@contextmanager
def worktree(revision: str, folder: Path) -> Iterator[Path]:
    """A checkout of the revision, for as long as it is measured."""
    try:
        machine.git("worktree", "add", "--detach", str(folder), revision, root=server.ROOT)
    except CalledProcessError as error:
        sys.exit(f"BASE={revision} is no revision that git checks out: {error.stderr.strip()}")
    try:
        yield folder
    finally:
        machine.git("worktree", "remove", "--force", str(folder), root=server.ROOT)


def as_text(run: dict[str, Any]) -> str:
    """One line a figure: base, here, and how much of the base's that is."""
    argon2 = run["machine"]["argon2"]
    lines = [
        f"here: {run['revision']}{' with changes' if run['dirty'] else ''}, base: {run['base']}, {run['machine']['cpu']}",
        f"passwords: by {argon2['here']} here, by {argon2['base']} in the base\n",
    ]
    rows = [
        (f"{name} {figure}", *(each[side] for side in ("base", "here", "ratio")))
        for name, figures in run["comparison"].items()
        for figure, each in figures.items()
    ]
    return "\n".join([*lines, table(("", "base", "here", "here of base"), rows)])


def compared(base: list[dict[str, Any]], here: list[dict[str, Any]]) -> dict[str, dict[str, float | None]]:
    """By figure the medians over the rounds, and the ratio; None where nothing was answered in any round."""
    return {figure: _medians([each[figure] for each in base], [each[figure] for each in here]) for figure in FIGURES}


def _medians(base: list[float | None], here: list[float | None]) -> dict[str, float | None]:
    medians = {
        label: median(known) if (known := [value for value in each if value is not None]) else None
        for label, each in (("base", base), ("here", here))
    }
    ratio = round(medians["here"] / medians["base"], 4) if medians["here"] is not None and medians["base"] else None
    return {label: None if value is None else round(value, 3) for label, value in medians.items()} | {"ratio": ratio}


def _with_cpu(figures: dict[str, Any]) -> dict[str, Any]:
    return figures | {"cpu_ms": cpu_ms(figures) if figures["requests"] else None}
