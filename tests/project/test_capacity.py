"""docs/capacity.md says what its own tables come to."""

import pytest

from tests import capacity

PAGE = capacity.PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("row", [row for row in capacity.rows(PAGE) if row.formula], ids=lambda row: row.name)
def test_a_figure_is_what_its_formula_comes_to(row):
    assert row.figure == capacity.rounded(capacity.computed(PAGE, instead={})[row.name])


def test_other_inputs_give_other_figures():
    values, twice = (capacity.computed(PAGE, instead={"users": users}) for users in (1e6, 2e6))

    assert twice["refreshes_per_second"] == pytest.approx(2 * values["refreshes_per_second"])
    with pytest.raises(LookupError, match="no input"):
        capacity.computed(PAGE, instead={"refreshes_per_second": 1.0})


def test_a_row_without_a_figure_is_found():
    with pytest.raises(ValueError, match="no figure"):
        list(capacity.rows("| `users` | many | of them |"))
