"""Reads JSON that strangers wrote: an object, each member once."""

import json
from typing import Any, NoReturn


def parse_object(text: bytes | str) -> dict[str, Any]:
    """Raises ValueError for anything else: no JSON, a member twice, NaN, brackets without end."""
    try:
        parsed = json.loads(text, object_pairs_hook=_members, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(parsed, dict):
        raise ValueError("no object")  # noqa: TRY004 - it is the text that is wrong
    return parsed


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is there twice")
    return members


def _refuse(constant: str) -> NoReturn:
    """NaN and Infinity are Python's, not JSON's."""
    raise ValueError("no number of JSON")
