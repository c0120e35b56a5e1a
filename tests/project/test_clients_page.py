"""The page of clients names what is driven, and its lines of code are whole."""

import ast
import re

from tests.e2e.test_standard_clients import NODE, ON_A_DEVICE, PYTHON
from tests.project.test_docs import read, section

PAGE = "docs/clients.md"
ELSEWHERE = {"mozilla-django-oidc", "mcp"}


def rows() -> dict[str, list[str]]:
    """The cells of each library, and under its name the file that drives it."""
    lines = re.findall(r"^\| \[([\w-]+)\]\(\.\./(tests/\S+\.py)\) \|(.*)\|$", section(PAGE, "Driven"), re.MULTILINE)
    return {name: [file, *(cell.strip() for cell in cells.split("|"))] for name, file, cells in lines}


def test_the_table_has_a_row_for_each_library_that_is_driven_and_no_other() -> None:
    assert rows().keys() == PYTHON.keys() | NODE.keys() | ELSEWHERE


def test_each_row_leads_to_a_test_that_uses_the_library() -> None:
    imports = {"mcp": "from mcp.client.auth", "mozilla-django-oidc": "mozilla-django-oidc"}

    for name, (file, *_) in rows().items():
        assert imports.get(name, f'"{name}"') in read(file), name


def test_the_device_flow_is_claimed_for_those_that_were_let_in_by_a_code() -> None:
    assert {name for name, cells in rows().items() if cells[-1] == "yes"} == ON_A_DEVICE.keys()


def test_the_lines_of_python_are_well_formed() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", read(PAGE), re.MULTILINE | re.DOTALL)

    assert len(blocks) == 3
    for block in blocks:
        ast.parse(block)
