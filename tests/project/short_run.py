"""A bench in small, as its test runs it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.e2e.servers import ROOT, clean_environment


def short_run(module: str, *arguments: str, folder: Path) -> dict[str, Any]:
    """The object that it prints, which is also a line of its history. It fails when something was answered as it should not be."""
    history = folder / "history.jsonl"
    command = [sys.executable, "-m", module, "--json", "--users", "64", "--seconds", "0.4", "--rounds", "1", *arguments]
    environment = clean_environment(BENCH_HISTORY=str(history))
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", timeout=300, check=False)
    assert done.stdout, done.stderr
    [line] = done.stdout.splitlines()
    assert history.read_text(encoding="utf-8") == f"{line}\n"
    found: dict[str, Any] = json.loads(line)
    assert (done.returncode == 0) == (found["failures"] == []), done.stderr
    return found
