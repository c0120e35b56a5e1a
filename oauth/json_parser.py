"""Reads a JSON body as strictly as the token endpoint reads a form."""

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from rest_framework.parsers import BaseParser

from oauth.errors import InvalidRequest
from oauth.http import read_body


class StrictJSONParser(BaseParser):
    """An object, in UTF-8, of at most 64 KiB, with each member once (RFC 8259 §4 leaves open what a second one means)."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> dict[str, Any]:
        assert parser_context is not None  # noqa: S101 - for the type checker: REST framework gives it
        return parse_object(read_body(parser_context["request"]._request))


def parse_object(body: bytes) -> dict[str, Any]:
    """Raises InvalidRequest."""
    try:
        parsed = json.loads(body.decode(), object_pairs_hook=_members, parse_constant=_refuse)
    except (ValueError, RecursionError):  # also what is not UTF-8, or a number too long; and brackets without end
        raise InvalidRequest("The body is not JSON, or has a member twice.") from None
    if not isinstance(parsed, dict):
        raise InvalidRequest("The body must be a JSON object.")
    return parsed


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError
    return members


def _refuse(constant: str) -> NoReturn:
    """NaN and Infinity are Python's, not JSON's."""
    raise ValueError
