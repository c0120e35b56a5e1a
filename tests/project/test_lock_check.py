"""The check of the lock files sees what must not be in them (tests/check_lock.py)."""

import pytest

from tests.check_lock import LOCKS, ROOT, problems_of_form

HASH = f"    --hash=sha256:{'0' * 64}"
GOOD = f"""\
django==5.2.19 \\
{HASH} \\
{HASH}
    # via
    #   authserver (pyproject.toml)
uvicorn[standard]==0.54.0 ; sys_platform != 'win32' and implementation_name == 'cpython' \\
{HASH}
    # via authserver (pyproject.toml:dev)
"""


def test_hashed_entries_and_their_reasons_are_no_problem():
    assert problems_of_form("requirements.txt", GOOD) == []


@pytest.mark.parametrize("name", LOCKS)
def test_our_lock_files_are_no_problem(name):
    assert problems_of_form(name, (ROOT / name).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("--index-url https://packages.example.com/simple", "names a host"),
        ("--extra-index-url=packages.example.com", "names a host"),
        ("--find-links wheels/", "names a host"),
        ("--trusted-host packages.example.com", "names a host"),
        ("    # from https://packages.example.com/simple", "names a host"),
        (f"editor @ https://packages.example.com/editor.whl \\\n{HASH}", "names a host"),
        (f"editor @ file:///editor.whl \\\n{HASH}", "names a host"),
        ("editor==1.0", "editor==1.0 has no hash"),
        (f"editor>=1.0 \\\n{HASH}", "is neither a pinned version nor a hash"),
        ("editor", "is neither a pinned version nor a hash"),
        ("-e .", "is neither a pinned version nor a hash"),
        ("editor==1.0 \\\n    --hash=md5:00", "is neither a pinned version nor a hash"),
    ],
)
@pytest.mark.parametrize("template", ["{line}\n{good}", "{good}{line}\n"], ids=["first", "last"])
def test_a_host_or_an_entry_without_a_hash_is_told(template, line, problem):
    problems = problems_of_form("requirements.txt", template.format(line=line, good=GOOD))

    assert any(problem in each for each in problems), problems
