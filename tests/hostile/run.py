"""Attack the server for long, and print what came of it: `make hostile`, or `make hostile MINUTES=1` for a short one."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from tests.postgres import postgres  # noqa: E402 - after the path it is found on

ATTACKS = (
    "tests/hostile",
    "tests/faults",
    "tests/oauth/test_session_machine.py",
    "tests/oauth/test_races.py",
    "tests/oauth/test_device_races.py",
    "tests/oauth/test_key_schedule.py",
    "tests/e2e/test_races.py",
    "tests/e2e/test_unreadable.py",
)


def main() -> int:
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    long = {
        "FUZZ_SECONDS": str(minutes * 60),
        "SCHEMA_EXAMPLES": str(int(minutes * 60)),
        "MACHINE_EXAMPLES": str(int(minutes * 60)),
        "REFRESHES": str(int(minutes * 1000)),
        "SCHEDULE_EXAMPLES": str(int(minutes * 30)),
        "ROTATIONS": str(max(4, int(minutes * 3))),
        "ROTATE_EVERY": "10",
    }
    print(f"=== {minutes:g} minutes of broken bytes, {long['REFRESHES']} refreshes under kill -9, races, copies, forgeries", flush=True)
    with postgres() as url:
        attacked = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *ATTACKS], cwd=ROOT, env=os.environ | long | {"TEST_DB_URL": url}, check=False
        )
    print("\n=== every line marked SECURITY taken out in turn", flush=True)
    mutated = subprocess.run([sys.executable, "tests/mutations.py"], cwd=ROOT, check=False)
    return attacked.returncode or mutated.returncode


if __name__ == "__main__":
    sys.exit(main())
