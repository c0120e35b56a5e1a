"""What docs/operations.md tells people to paste."""

import os
import subprocess
from pathlib import Path

from tests.e2e.servers import ROOT

PAGE = ROOT / "docs" / "operations.md"


def blocks(language: str, *, heading: str) -> list[str]:
    """The blocks of code in this language under a heading of the page, before the next one."""
    found: list[str] = []
    under, lines = "", iter(PAGE.read_text(encoding="utf-8").splitlines())
    for line in lines:
        if line.startswith("```"):
            block = "".join(f"{each}\n" for each in iter(lines.__next__, "```"))
            found += [block] if (line, under) == (f"```{language}", heading) else []
        elif line.startswith("#"):
            under = line.lstrip("#").strip()
    assert found, f"{PAGE.name} has no block of {language} under {heading}"
    return found


def paste(script: str, *, folder: Path) -> None:
    """Raises AssertionError when a line fails."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    done = subprocess.run(["bash", "-e"], input=script, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def paste_secrets_and_settings(folder: Path) -> None:
    """What every way to run it asks for: the files of secrets, and .env."""
    for block in blocks("sh", heading="Secrets and settings"):
        paste(block, folder=folder)


def paste_for_compose(folder: Path) -> None:
    """What compose.yaml asks for."""
    paste_secrets_and_settings(folder)
    paste(blocks("sh", heading="In containers")[0], folder=folder)


def paste_by_hand(folder: Path) -> None:
    """What a server of this machine asks for. The database that it names is somewhere else in tests."""
    paste_secrets_and_settings(folder)
    paste(blocks("sh", heading="By hand")[0], folder=folder)
