"""Refreshes at a steady pace beside `manage.py prune`, and what those who refresh notice of it."""

import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.bench import phases, server
from tests.bench.phases import Measured
from tests.bench.server import Site
from tests.bench.spread import Known

PACE = 100.0  # refreshes a second: a part of what the machine can, so that latency is what is measured


def beside(known: Known, *, seconds: float) -> tuple[dict[str, Measured], dict[str, Any]]:
    """Refreshes at a steady pace: alone, for as long as the command takes, and alone again; and what the command said."""

    def refreshes() -> Measured:
        return phases.run(known.site, known.refreshes(), seconds=seconds, rate=PACE)

    idle, meanwhile = [refreshes()], []
    with ThreadPoolExecutor(1) as pool:
        pruning = pool.submit(_prune, known.site)
        while not pruning.done():
            meanwhile.append(refreshes())
    idle.append(refreshes())
    meanwhile = meanwhile[:-1] or meanwhile  # within the last one it came to its end
    return {"idle": phases.together(idle), "pruning": phases.together(meanwhile)}, pruning.result()


def _prune(site: Site) -> dict[str, Any]:
    began_at = time.monotonic()
    command = [sys.executable, "manage.py", "prune"]
    printed = subprocess.run(command, cwd=server.ROOT, env=site.environment, stdout=subprocess.PIPE, encoding="utf-8", check=True).stdout
    [(removed, looked_at)] = re.findall(r"^sessions +(\d+) removed of (\d+)$", printed, re.MULTILINE)
    return {"removed": int(removed), "looked_at": int(looked_at), "seconds": round(time.monotonic() - began_at, 1)}
