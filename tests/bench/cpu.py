"""What processes have cost, out of /proc: seconds of CPU and megabytes of memory."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
_IDLE = (3, 4)  # columns of /proc/stat's first line: idle, and waiting for a disk


@dataclass
class Spent:
    """Seconds of CPU within a window: of each group of processes by its name, and of the whole machine."""

    groups: dict[str, float]
    machine: float = 0.0


@contextmanager
def spent_by(**groups: Sequence[int]) -> Iterator[Spent]:
    """Filled in at the end of the block. A group is the processes of these ids, with all their children, those that have ended too."""
    before, busy = {name: cpu_seconds(pids) for name, pids in groups.items()}, _machine_seconds()
    spent = Spent({})
    yield spent
    spent.groups = {name: cpu_seconds(pids) - before[name] for name, pids in groups.items()}
    spent.machine = _machine_seconds() - busy


def cpu_seconds(parents: Sequence[int]) -> float:
    known = _known()
    return sum(known[pid][1] for pid in _with_children(parents, known))


def pss_megabytes(parents: Sequence[int]) -> dict[int, float]:
    """The proportional set size of each process: what several of them share is parted among them."""
    sizes = {}
    for pid in sorted(_with_children(parents, _known())):
        with suppress(FileNotFoundError, ProcessLookupError):
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8")
            sizes[pid] = int(rollup.partition("\nPss:")[2].split()[0]) / 1024
    return sizes


def _with_children(parents: Sequence[int], known: dict[int, tuple[int, float]]) -> set[int]:
    chosen = set(parents) & set(known)
    while more := {pid for pid, (parent, _) in known.items() if parent in chosen} - chosen:
        chosen |= more
    return chosen


def _known() -> dict[int, tuple[int, float]]:
    """By process id its parent, and its seconds of CPU with those of children that have ended."""
    known = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with suppress(FileNotFoundError, ProcessLookupError):
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
            fields = stat.rpartition(")")[2].split()
            known[int(pid)] = int(fields[1]), sum(map(int, fields[11:15])) / TICKS
    return known


def _machine_seconds() -> float:
    line, _, _ = Path("/proc/stat").read_text(encoding="utf-8").partition("\n")
    columns = list(map(int, line.split()[1:9]))  # beyond these: what guests took, which is counted before already
    return sum(ticks for column, ticks in enumerate(columns) if column not in _IDLE) / TICKS


def children_of(parent: int) -> list[int]:
    return sorted(pid for pid, (of, _) in _known().items() if of == parent)
