"""The metrics of all server processes as one page, and the files that they count in.

Each process counts in files of its own, in the folder that authserver/gunicorn.py makes. When one has
ended, its files are added to one file for all that ended, so that the folder stays small and no
counter ever falls.
"""

import fcntl
import os
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, REGISTRY, Metric, generate_latest
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
LOCK_SECONDS = 2.0

_ENDED = "ended"
_ENTRY_OVERHEAD_BYTES = 64


def page() -> bytes:
    """Everything that is counted, in Prometheus's text format. Raises TimeoutError when the files stay locked."""
    folder = os.environ.get(FOLDER_VARIABLE)
    return generate_latest(_AllProcesses(Path(folder)) if folder else REGISTRY)


def fold(folder: Path, *, alive: Collection[int]) -> None:
    """Add the files of all processes but those `alive` to the file of the ended ones. For the process that forks the others.

    Raises TimeoutError when the files stay locked; they are whole then, and the next call takes them too.
    """
    for pid in {_pid_of(path) for path in folder.glob("gauge_*.db")} - {*alive}:
        mark_process_dead(pid, folder)
    with _locked(folder, fcntl.LOCK_EX):
        for kind in ("counter", "histogram"):
            ended = [path for path in folder.glob(f"{kind}_*.db") if path.stem != f"{kind}_{_ENDED}" and _pid_of(path) not in alive]
            if ended:
                _add(ended, to=folder / f"{kind}_{_ENDED}.db")


class _AllProcesses(Collector):
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        with _locked(self._folder, fcntl.LOCK_SH):
            metrics: Iterable[Metric] = MultiProcessCollector.merge(map(str, _begun(self._folder.glob("*.db"))), accumulate=True)
            return metrics


def _add(ended: list[Path], *, to: Path) -> None:
    sums: dict[str, float] = defaultdict(float)
    for path in _begun([to, *ended]):
        for key, value, _, _ in MmapedDict.read_all_values_from_file(str(path)):
            sums[key] += value
    written = to.with_suffix(".new")
    with written.open("wb") as file:
        # The room is taken before the file is mapped: to write to a page that a full disk cannot give kills the process.
        os.posix_fallocate(file.fileno(), 0, sum(len(key) + _ENTRY_OVERHEAD_BYTES for key in sums) + _ENTRY_OVERHEAD_BYTES)
    values = MmapedDict(str(written))
    for key, value in sums.items():
        values.write_value(key, value, 0.0)
    values.close()
    written.replace(to)
    for path in ended:
        path.unlink()


def _begun(paths: Iterable[Path]) -> list[Path]:
    """Those with something in them: a process makes its file empty first."""
    return [path for path in paths if _size_of(path)]


def _size_of(path: Path) -> int:
    """Nothing for a file that went meanwhile: its process has ended, and was added up."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _pid_of(path: Path) -> int:
    return int(path.stem.rpartition("_")[2])


@contextmanager
def _locked(folder: Path, kind: int) -> Iterator[None]:
    """Never a scrape while files are added up. Raises TimeoutError: nobody may hang on a process that stopped in the middle."""
    with (folder / "lock").open("ab") as file:
        give_up_at = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(file, kind | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > give_up_at:
                    raise TimeoutError("the metrics are locked") from None
                time.sleep(0.002)
        yield
