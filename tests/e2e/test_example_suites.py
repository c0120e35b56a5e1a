"""Each example that is a package of its own passes its own tests, where nothing but pytest and what it asks for is about."""

import re
import subprocess
import sys

import pytest

from tests.e2e.servers import ROOT, clean_environment

PROJECTS = sorted(ROOT.glob("examples/*/pyproject.toml"))
PATIENCE_SECONDS = 120


@pytest.mark.parametrize("project", PROJECTS, ids=[project.parent.name for project in PROJECTS])
def test_the_suite_of_an_example_passes(project, tmp_path):
    siblings = ":".join(str(other.parent) for other in PROJECTS)  # they are installed beside one another
    environment = clean_environment(
        PYTHONPATH=siblings, PYTHONDONTWRITEBYTECODE="1", PYTEST_DISABLE_PLUGIN_AUTOLOAD="1", HOME=str(tmp_path), TMPDIR=str(tmp_path)
    )

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-ra", "-p", "no:cacheprovider"],
        cwd=project.parent,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE_SECONDS,
        check=False,
    )

    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    *_, summary = done.stdout.strip().splitlines()
    assert re.fullmatch(r"[1-9]\d* passed in \S+s.*", summary), summary  # none was skipped, and there were some
