"""npm's jose, for tests that ask what a verifier in JavaScript does."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FILES = ("package.json", "package-lock.json", "verify.mjs", "remote.mjs")


def install(folder: Path) -> Path:
    """The library at the version of the lock file, and the scripts that call it, in a folder outside the repository."""
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


def do_without(reason: str) -> None:
    """A developer may; a run that decides about a release may not."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
