"""Break everything around the server, for longer than `make test` does, and print what it cost: `make faults`."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from tests.postgres import postgres  # noqa: E402 - after the path it is found on

# Restores, and servers that cannot start, need nothing that is in this folder.
EVERYTHING = ("tests/faults", "tests/e2e/test_recovery.py", "tests/e2e/test_signing_keys.py")
# Each may be set to something else. The last eleven are promised of a machine that does nothing beside.
LONG = {
    "REFRESHES": "10000",
    "RESTARTS": "20",
    "FAILOVERS": "5",
    "HANG_SECONDS": "20",
    "MANY_CLIENTS": "64",
    "FULL_SECONDS": "10",
    "HERD": "5000",
    "TABS": "200",
    "FLOOD_SECONDS": "20",
    "HALF_OPEN": "2000",
    "ROLLS": "30",
    "STEPS": "200",
    "SOAK_MINUTES": "5",
    "RECOVERY_SECONDS": "2",
    "LATEST_ANSWER_SECONDS": "5.5",
    "LATEST_REFUSAL_SECONDS": "1",
    "REFRESH_P99_SECONDS": "0.3",
    "REFUSED_AT_MOST": "0",
    "JWKS_P99_SECONDS": "0.05",
    "GOODPUT": "0.8",
    "HERD_P99_SECONDS": "2",
    "SOAK_REFUSED": "0.001",
    "SOAK_GROWTH_MB": "1",
    "SOAK_P99": "2",
}


def main() -> int:
    arguments = sys.argv[1:] or EVERYTHING
    # All of them: what cannot be broken here is a failure, and no row that is not there.
    environment = LONG | os.environ | {"CI": "true"}
    with postgres() as url:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", *arguments]
        return subprocess.run(command, cwd=ROOT, env=environment | {"TEST_DB_URL": url}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
