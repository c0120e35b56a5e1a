"""Libraries of npm, for tests that ask what a client or a verifier in JavaScript does."""

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
FILES = ("package.json", "package-lock.json", *(path.name for path in HERE.glob("*.mjs")))
ANSWER_SECONDS = 60


def install(folder: Path) -> Path:
    """The libraries at the versions of the lock file, and the scripts that call it, in a folder outside the repository."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        do_without("node 20 or newer and npm are not installed")
    version = subprocess.run(["node", "--version"], capture_output=True, encoding="utf-8", check=True).stdout.strip()
    if int(version.removeprefix("v").split(".")[0]) < 20:
        do_without(f"node {version} is older than 20")
    for name in FILES:
        shutil.copy(HERE / name, folder)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    done = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8", timeout=300, check=False)
    if done.returncode != 0:
        do_without(f"npm ci failed:\n{done.stderr}")
    return folder


def converse(script: str, question: dict[str, Any], *, answer: Callable[[str], str], folder: Path) -> dict[str, Any]:
    """Run a script of `conversation.mjs`: each line that it prints is answered, but for the last, which is what came of it."""
    with subprocess.Popen(
        ["node", script], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", bufsize=1
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        stuck = threading.Timer(ANSWER_SECONDS, process.kill)
        stuck.start()
        try:
            process.stdin.write(json.dumps(question) + "\n")
            for line in process.stdout:
                if line.startswith("{"):
                    return json.loads(line)
                process.stdin.write(answer(line.strip()) + "\n")
            raise AssertionError(f"{script} ended without a result:\n{process.stderr.read()}")
        finally:
            stuck.cancel()
            process.kill()


def do_without(reason: str) -> None:
    """A developer may; a run that decides about a release may not."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
