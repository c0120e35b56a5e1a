"""What processes have cost, out of /proc: seconds of CPU and megabytes of memory."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
# Columns of /proc/stat's first line.
_BUSY, _STOLEN = (0, 1, 2, 5, 6), 7  # what a hypervisor gave to other machines is stolen


@dataclass
class Spent:
    """Seconds of CPU within a window: of each group of processes by its name, of the whole machine, and those it should have had.

    `counted` is what the stores have counted meanwhile, where somebody asked them (written.py).
    """

    groups: dict[str, float]
    machine: float = 0.0
    stolen: float = 0.0
    counted: dict[str, float] = field(default_factory=dict)


@contextmanager
def spent_by(**groups: Sequence[int]) -> Iterator[Spent]:
    """Filled in at the end of the block. A group is the processes of these ids, with all their children, those that have ended too."""
    before = {name: cpu_seconds(pids) for name, pids in groups.items()}
    busy, stolen = _machine_seconds()
    spent = Spent({})
    yield spent
    spent.groups = {name: cpu_seconds(pids) - before[name] for name, pids in groups.items()}
    busy_since, stolen_since = _machine_seconds()
    spent.machine, spent.stolen = busy_since - busy, stolen_since - stolen


def cpu_seconds(parents: Sequence[int]) -> float:
    known = _known()
    return sum(known[pid][1] for pid in _with_children(parents, known))


def pss_megabytes(parents: Sequence[int], *, kind: str = "Pss") -> dict[int, float]:
    """The proportional set size of each process, parents first: what several of them share is parted among them.

    `Pss_Anon` is without files, whose parts change with who else on the machine has them open.
    """
    sizes = {}
    for pid in sorted(_with_children(parents, _known()), key=lambda pid: (pid not in parents, pid)):
        with suppress(FileNotFoundError, ProcessLookupError):
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8")
            sizes[pid] = int(rollup.partition(f"\n{kind}:")[2].split()[0]) / 1024
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


def _machine_seconds() -> tuple[float, float]:
    """Busy, and stolen."""
    line, _, _ = Path("/proc/stat").read_text(encoding="utf-8").partition("\n")
    columns = [int(text) / TICKS for text in line.split()[1:]]
    return sum(columns[index] for index in _BUSY), columns[_STOLEN]


def children_of(parent: int) -> list[int]:
    return sorted(pid for pid, (of, _) in _known().items() if of == parent)
