"""What `make` does before it serves."""

import os
import shutil
import subprocess

import pytest

from tests.e2e.servers import ROOT, clean_environment


@pytest.fixture
def steps(tmp_path):
    """The commands of `make run` for a data folder and a database, without the installation; what they make is made."""
    if shutil.which("make") is None:
        pytest.fail("make is not installed") if os.environ.get("CI") == "true" else pytest.skip("make is not installed")

    def plan(folder, url=""):
        environment = clean_environment(AUTH_SERVICE__DATA_DIR=str(tmp_path / folder), AUTH_SERVICE__DB_URL=url)
        command = ["make", "--dry-run", "--old-file=.venv/.run", "--old-file=.venv/.uv", "run"]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", check=True)
        for line in done.stdout.splitlines():
            if line.startswith("mkdir"):
                subprocess.run(["sh", "-c", line], check=True)
        return done.stdout

    return plan


def test_a_run_of_make_bench_prints_its_object_and_nothing_of_what_is_built_before(steps):
    command = ["make", "--dry-run", "--what-if=deploy/build_argon2.py", "--old-file=.venv/.uv", "argon2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=True)

    [build] = [line for line in done.stdout.splitlines() if "build_argon2.py" in line]
    assert build.endswith(">&2")


def test_each_database_is_made_ready_once(steps):
    for folder, url in (("one", ""), ("two", ""), ("one", "postgresql://localhost/auth")):
        assert "manage.py migrate" in steps(folder, url)
        assert "manage.py migrate" not in steps(folder, url)
