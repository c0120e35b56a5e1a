"""Every item of the security checklist that concerns what exists has a test, or a written reason why not yet."""

import ast
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
CONCERNED = {*range(1, 32), *range(33, 79), *range(80, 89), *range(90, 119)}

NOT_YET: dict[int, str] = {}


def numbers_with_tests() -> set[int]:
    """The arguments of every `@pytest.mark.checklist(…)`."""
    calls = (
        node
        for path in TESTS.rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "checklist"
    )
    return {argument.value for call in calls for argument in call.args if isinstance(argument, ast.Constant)}


def test_every_item_that_concerns_what_exists_has_a_test_or_a_reason():
    assert CONCERNED - numbers_with_tests() - set(NOT_YET) == set()


def test_no_item_with_a_test_is_excused():
    assert numbers_with_tests() & set(NOT_YET) == set()
