"""What the documentation says was broken on purpose, and the numbers that it says are used, are those of the tests."""

import os
import re
import subprocess
import sys

import pytest

from tests.e2e.servers import ROOT, clean_environment
from tests.faults import run
from tests.postgres import find_binaries

NUMBER = re.compile(r'os\.environ\.get\("(\w+)"\) or ([\d.]+)\)')


def section(page, heading):
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return text.partition(f"{heading}\n")[2].partition("\n#")[0]


def test_each_file_of_faults_is_in_the_table():
    named = set(re.findall(r"`(tests/\w+/test_\w+\.py)`", section("operations.md", "## What was broken on purpose")))

    folder, *others = run.EVERYTHING
    assert named == {*others, *(str(path.relative_to(ROOT)) for path in (ROOT / folder).glob("test_*.py"))}


def test_each_number_is_told_with_both_of_its_values():
    rows = re.findall(r"^\| (`.+?) \|.*\| ([^|]+) \| ([^|]+) \|$", section("commands.md", "### make faults"), re.MULTILINE)
    told = {}
    for names, here, short in rows:
        for name, *values in zip(re.findall(r"`(\w+)`", names), here.split(", "), short.split(", "), strict=True):
            told[name] = tuple(map(float, values))

    short = {}
    for path in (ROOT / "tests" / "faults").glob("*.py"):
        short |= dict(NUMBER.findall(path.read_text(encoding="utf-8")))

    assert told == {name: (float(value), float(short[name])) for name, value in run.LONG.items()}


def test_make_faults_hands_the_numbers_on_and_fails_when_a_test_does(tmp_path):
    if find_binaries() is None:
        pytest.fail("not installed: postgresql") if os.environ.get("CI") == "true" else pytest.skip("not installed: postgresql")
    file = tmp_path / "test_numbers.py"
    file.write_text(
        "import os\n\n"
        "def test_numbers():\n    assert (os.environ['RESTARTS'], os.environ['HERD'], os.environ['CI']) == ('3', '5000', 'true')\n\n"
        "def test_that_fails():\n    assert os.environ['TEST_DB_URL'] == ''\n",
        encoding="utf-8",
    )
    plan = subprocess.run(
        ["make", "--dry-run", "--old-file=.venv/.dev", "--old-file=.venv/.uv", "faults"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    done = subprocess.run(
        [sys.executable, "tests/faults/run.py", str(file), f"--rootdir={tmp_path}", "-c", os.devnull],
        cwd=ROOT,
        env=clean_environment(RESTARTS="3"),
        capture_output=True,
        text=True,
        check=False,
    )

    assert "tests/faults/run.py" in plan.stdout
    assert done.returncode == 1
    assert "1 failed, 1 passed" in done.stdout
