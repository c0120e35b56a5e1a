"""Processes that count together and are killed, for test_metrics.py: `counting.py work` and, beside it, `counting.py scrape`.

Both need PROMETHEUS_MULTIPROC_DIR. Each prints one JSON object.
"""

import json
import mmap
import os
import random
import signal
import struct
import sys
import time
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from prometheus_client.parser import text_string_to_metric_families  # noqa: E402 - after the path it is found on

from accounts import metrics  # noqa: E402
from authserver import metrics_page  # noqa: E402

FOLDER = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
STOP = FOLDER / "stop"
ROUNDS, AT_ONCE, COUNTS = 25, 3, 200
GRANTS = ("password", "refresh_token", "other")


def work(scraper: int) -> dict[str, float]:
    """Fork, count, kill, fold; afterwards tell what was counted and what the page says."""
    marks = [mmap.mmap(-1, 16) for _ in range(ROUNDS * AT_ONCE)]  # how many counts each child began, and how many it ended
    running: dict[int, int] = {}
    most_files = 0
    for number, mark in enumerate(marks):
        pid = os.fork()
        if pid == 0:
            count(mark, die_at_the_end=number % 2 == 0)
        running[pid] = number
        while len(running) >= AT_ONCE or (running and number == len(marks) - 1):
            time.sleep(random.uniform(0, 0.01))
            victim = random.choice([*running])
            if running[victim] % 2:
                os.kill(victim, signal.SIGKILL)
            os.waitpid(victim, 0)
            del running[victim]
            metrics_page.fold(FOLDER, alive={os.getpid(), scraper, *running})
            most_files = max(most_files, len([*FOLDER.glob("*.db")]))
    began, ended = (sum(struct.unpack_from("q", mark, at)[0] for mark in marks) for at in (0, 8))
    values = scraped()
    return {
        "began": began,
        "ended": ended,
        "requests": sum(value for (name, _), value in values.items() if name == "auth_token_requests_total"),
        "observations": sum(value for (name, _), value in values.items() if name == "auth_token_request_duration_seconds_count"),
        "store_up": values.get(("auth_store_up", (("store", "database"),)), -1),
        "most_files": most_files,
        "files": len([*FOLDER.glob("*.db")]),
    }


def count(mark: mmap.mmap, *, die_at_the_end: bool) -> None:
    metrics.STORE_UP.labels(metrics.DATABASE).set(0)
    for number in range(COUNTS):
        mark[:8] = struct.pack("q", number + 1)
        metrics.observe_token_request(grant=random.choice(GRANTS), outcome="ok", client="other", seconds=random.uniform(0, 2))
        mark[8:] = struct.pack("q", number + 1)
    while not die_at_the_end:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGKILL)


def scrape() -> dict[str, object]:
    """Until told to stop. Each sample that was lower than before, or gone, is told of."""
    before: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    falls, scrapes = [], 0
    print("ready", flush=True)
    while not STOP.exists():
        values = scraped()
        scrapes += 1
        falls += [f"{key}: {value} -> {values.get(key)}" for key, value in before.items() if values.get(key, -1) < value]
        before = {key: value for key, value in values.items() if key[0] != "auth_store_up"}
    return {"scrapes": scrapes, "falls": falls}


def scraped() -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(metrics_page.page().decode())
    return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for family in families for sample in family.samples}


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        print(json.dumps(scrape() if sys.argv[1] == "scrape" else work(int(sys.argv[2]))), flush=True)
