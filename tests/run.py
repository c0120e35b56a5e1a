"""Run the suite on SQLite, then on PostgreSQL. Arguments go to pytest."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.postgres import find_binaries, postgres  # noqa: E402 - after the path it is found on


def run(label: str, **environment: str) -> int:
    print(f"\n=== {label} ===", flush=True)
    return subprocess.run([sys.executable, "-m", "pytest", *sys.argv[1:]], cwd=ROOT, env=os.environ | environment, check=False).returncode


def main() -> int:
    failed = run("SQLite", TEST_DB_URL="")
    if find_binaries() is None:
        print("\nPostgreSQL is not installed, so half of the suite did not run: apt-get install postgresql", file=sys.stderr)
        return 3 if os.environ.get("CI") == "true" else failed
    with postgres() as url:
        return run("PostgreSQL", TEST_DB_URL=url) or failed


if __name__ == "__main__":
    sys.exit(main())
