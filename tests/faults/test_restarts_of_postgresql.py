"""PostgreSQL is killed and started again while apps refresh: they are told to come back, and what they were given is there.

RESTARTS=20 makes it long.
"""

import os
import signal
import time
from pathlib import Path

from tests.faults.site import RECOVERY_SECONDS, Site

RESTARTS = int(os.environ.get("RESTARTS") or 2)
BETWEEN_SECONDS = 1.0


def test_only_503_while_it_is_down_and_nothing_that_was_acknowledged_is_lost(site: Site, tmp_path: Path) -> None:
    row = site.row("PostgreSQL, immediate restart")

    with site.siege(tmp_path).under_way(row):
        for _ in range(RESTARTS):
            time.sleep(BETWEEN_SECONDS)
            site.cluster.primary.restart(signal.SIGQUIT)
            row.recovery.append(site.seconds_to_recover())
            row.done += 1

    assert row.retries > 0
    assert max(row.recovery) <= RECOVERY_SECONDS
    assert "Traceback" not in site.server.output()
