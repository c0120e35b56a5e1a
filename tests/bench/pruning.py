"""Refreshes at a steady pace beside `manage.py prune`, and what those who refresh notice of it."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from tests.bench import phases, server
from tests.bench.phases import Measured
from tests.bench.server import Site
from tests.bench.spread import Known

PACE = 100.0  # refreshes a second: a part of what the machine can, so that latency is what is measured
IDLE_TURNS = 6


def beside(known: Known, *, seconds: float) -> tuple[dict[str, Measured], dict[str, Any]]:
    """Refreshes at a steady pace, in turns of so many seconds: while the command works, and while it stands still; and what it said."""
    idle, meanwhile, stood_seconds = [_refreshes(known, seconds=seconds)], [], 0.0
    with ThreadPoolExecutor(1) as pool, _prune(known.site) as command:
        began_at = time.monotonic()
        reading = pool.submit(_read, command)
        while not reading.done():
            meanwhile.append(_refreshes(known, seconds=seconds))
            if len(idle) < IDLE_TURNS and not reading.done():
                stood_at = time.monotonic()
                command.send_signal(signal.SIGSTOP)  # it holds nothing: a batch is one statement
                idle.append(_refreshes(known, seconds=seconds))
                command.send_signal(signal.SIGCONT)
                stood_seconds += time.monotonic() - stood_at
        printed, ended_at = reading.result()
    if command.returncode != 0:
        raise RuntimeError(f"manage.py prune ended with {command.returncode}; what it said stands above")
    meanwhile = meanwhile[1:-1] or meanwhile  # within the first Python starts, and within the last it comes to its end
    [(removed, looked_at)] = re.findall(r"^sessions +(\d+) removed of (\d+)$", printed, re.MULTILINE)
    said = {"removed": int(removed), "looked_at": int(looked_at), "seconds": round(ended_at - began_at - stood_seconds, 1)}
    return {"idle": phases.together(idle), "pruning": phases.together(meanwhile)}, said


def _read(command: subprocess.Popen[str]) -> tuple[str, float]:
    """What it printed until its end, and when that was."""
    assert command.stdout is not None
    printed = command.stdout.read()
    command.wait()
    return printed, time.monotonic()


def _refreshes(known: Known, *, seconds: float) -> Measured:
    return phases.run(known.site, known.refreshes(), seconds=seconds, rate=PACE)


@contextmanager
def _prune(site: Site) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "manage.py", "prune"]
    with subprocess.Popen(command, cwd=server.ROOT, env=site.environment, stdout=subprocess.PIPE, encoding="utf-8") as process:
        try:
            yield process
        finally:
            process.kill()
