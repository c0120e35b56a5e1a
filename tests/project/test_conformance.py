"""The page of conformance says what the tests hold."""

import ast
from pathlib import Path

from tests import conformance

TESTS = Path(__file__).resolve().parent.parent


def test_the_page_of_conformance_is_up_to_date() -> None:
    """If not: `make conformance`."""
    assert conformance.PAGE.read_text(encoding="utf-8") == conformance.page()


def test_no_mark_stands_where_the_page_does_not_see_it() -> None:
    uses = sum(
        ast.unparse(node) == conformance.MARK
        for path in TESTS.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
    )

    assert uses == len([*conformance.held()])


def test_what_is_not_offered_is_held_by_no_test() -> None:
    held = {(each.document, each.section) for each in conformance.held()}

    assert held.isdisjoint({(document, section) for document, section, _, _ in conformance.NOT_OFFERED})
