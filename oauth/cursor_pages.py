"""Pages of a list, with `next`, `previous` and `results`, each found by where the one before ended: stable while rows come and go."""

import unicodedata
from abc import ABC, abstractmethod
from datetime import UTC
from typing import Any

from django.utils.dateparse import parse_datetime
from rest_framework.exceptions import NotFound
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request


class CursorPages(CursorPagination, ABC):
    """50 on a page. A cursor that decodes and holds nothing of the list's order is refused: the database would be asked for it."""

    page_size = 50
    example_path = "/api/v1/sessions"

    @staticmethod
    @abstractmethod
    def is_position(text: str) -> bool:
        """Whether a text can stand for a place in the list's order."""

    def decode_cursor(self, request: Request) -> Any:
        cursor = super().decode_cursor(request)
        if cursor is not None and cursor.position is not None and not self.is_position(str(cursor.position)):
            raise NotFound
        return cursor

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        page = {"type": ["string", "null"], "format": "uri"}
        following = f"https://auth.example.com{self.example_path}?cursor=cD0yMDI2LTAxLTMxKzEyJTNBMDAlM0EwMA%3D%3D"
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {
                "next": page | {"description": "The URL of the next page, or null.", "example": following},
                "previous": page | {"description": "The URL of the page before, or null.", "example": None},
                "results": schema,
            },
        }


def _is_instant(text: str) -> bool:
    """Whether it names a moment of UTC's calendar: the last day of the year 9999 is over earlier in the east."""
    try:
        parsed = parse_datetime(text)
        return parsed is not None and parsed.tzinfo is not None and bool(parsed.astimezone(UTC))
    except (ValueError, OverflowError):
        return False


def _is_storable(text: str) -> bool:
    """Whether PostgreSQL takes it: neither NUL nor half a surrogate pair."""
    return len(text) <= 1000 and not any(unicodedata.category(character) in {"Cc", "Cs"} for character in text)


class ByInstant(CursorPages):
    is_position = staticmethod(_is_instant)


class ByText(CursorPages):
    is_position = staticmethod(_is_storable)


class NewestFirst(ByInstant):
    ordering = ("-created_at", "-pk")
