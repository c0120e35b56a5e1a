"""The arithmetic of docs/capacity.md: `python -m tests.capacity users=5e6 signature_ms=0.4` computes its tables anew.

A row with a figure is an input, a row with a formula is computed from the rows above it.
"""

import math
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "capacity.md"
_ROW = re.compile(r"^\| `(?P<name>\w+)` \| (?:`(?P<formula>[^`]+)` \| )?(?P<figure>[\d.,]+) \| (?P<words>.*)\|$", re.MULTILINE)
_NAMED = re.compile(r"^\| `\w+` \|", re.MULTILINE)
_PATH = re.compile(r"`([\w.]+\.[\w.]+)`")
FUNCTIONS = {"ceil": math.ceil, "exp": math.exp, "max": max, "min": min}


@dataclass(frozen=True)
class Row:
    """`formula` is empty for an input; `path` is where the JSON of `make bench-instances` has the figure, empty elsewhere."""

    name: str
    formula: str
    figure: float
    path: str


def rows(page: str) -> Iterator[Row]:
    found = list(_ROW.finditer(page))
    if len(found) < len(_NAMED.findall(page)):
        raise ValueError("a row of docs/capacity.md has a name, and no figure after it or after its formula")
    for row in found:
        path = _PATH.search(row["words"])
        yield Row(row["name"], row["formula"] or "", float(row["figure"].replace(",", "")), path[1] if path else "")


def computed(page: str, *, instead: Mapping[str, float]) -> dict[str, float]:
    """Every name's value; `instead` has other values for inputs. Raises LookupError if one of them is no input."""
    values: dict[str, float] = {}
    inputs = {row.name for row in rows(page) if not row.formula}
    if unknown := instead.keys() - inputs:
        raise LookupError(f"no input of docs/capacity.md: {', '.join(sorted(unknown))}; they are {', '.join(sorted(inputs))}")
    for row in rows(page):
        if row.name in values:
            raise ValueError(f"{row.name} stands twice in docs/capacity.md")
        values[row.name] = _value(row.formula, values) if row.formula else instead.get(row.name, row.figure)
    return values


def _value(formula: str, values: Mapping[str, float]) -> float:
    """Formulas come from a page of this repository."""
    return float(eval(formula, {"__builtins__": {}, **FUNCTIONS, **values}))  # noqa: S307


def rounded(value: float) -> float:
    """To three digits, as the page prints what it computes."""
    return float(f"{value:.3g}")


def main(arguments: list[str]) -> None:
    page = PAGE.read_text(encoding="utf-8")
    values = computed(page, instead={name: float(figure) for name, _, figure in (each.partition("=") for each in arguments)})
    for row in rows(page):
        print(f"{rounded(values[row.name]) if row.formula else values[row.name]:>18,.10g}  {row.name}")


if __name__ == "__main__":
    main(sys.argv[1:])
