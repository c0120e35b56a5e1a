"""What `make` does before it serves."""

import os
import shutil
import subprocess

import pytest

from tests.e2e.servers import ROOT, clean_environment


@pytest.fixture
def make():
    """The lines that `make` would carry out, where all is installed."""
    if shutil.which("make") is None:
        pytest.fail("make is not installed") if os.environ.get("CI") == "true" else pytest.skip("make is not installed")

    def plan(*arguments, **variables):
        command = ["make", "--dry-run", "--old-file=.venv/.run", "--old-file=.venv/.uv", *arguments]
        environment = clean_environment(**variables)
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", check=True)
        return done.stdout.splitlines()

    return plan


@pytest.fixture
def steps(tmp_path, make):
    """The commands of `make run` for a data folder and a database; what they make is made."""

    def plan(folder, url=""):
        lines = make("run", AUTH_SERVICE__DATA_DIR=str(tmp_path / folder), AUTH_SERVICE__DB_URL=url)
        for line in lines:
            if line.startswith("mkdir"):
                subprocess.run(["sh", "-c", line], check=True)
        return "\n".join(lines)

    return plan


def test_a_run_of_make_bench_prints_its_object_and_nothing_of_what_is_built_before(make):
    [build] = [line for line in make("--what-if=deploy/build_argon2.py", "argon2") if "build_argon2.py" in line]

    assert build.endswith(">&2")


def test_each_database_is_made_ready_once(steps):
    for folder, url in (("one", ""), ("two", ""), ("one", "postgresql://localhost/auth")):
        assert "manage.py migrate" in steps(folder, url)
        assert "manage.py migrate" not in steps(folder, url)
