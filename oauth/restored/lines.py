"""The lines of an exported audit log (accounts/audit_lines.py), read as events."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

Event = dict[str, Any]
Key = tuple[datetime, int]  # of an event: ids alone are given anew after a restore


class NotAnExport(Exception):
    """A line is no event of an export. The message tells the operator which one."""


def name_of(key: Key) -> str:
    """The key as a short text."""
    at, pk = key
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}/{pk}"


def parse(line: str, *, number: int) -> Event | None:
    """None for a line that is empty, or a note of the admin's export. Raises NotAnExport."""
    if not line.strip():
        return None
    try:
        event = json.loads(line)
        if [*event] == ["note"]:
            return None
        event["at"] = datetime.fromisoformat(event["at"])
        is_event = event["at"].tzinfo is not None and isinstance(event["id"], int) and isinstance(event["event"], str)
    except (ValueError, TypeError, KeyError):
        is_event = False
    if not is_event:
        raise NotAnExport(f"Line {number} is no audit event as manage.py audit_export writes them.")
    return event  # type: ignore[no-any-return] # JSON may be anything


@contextmanager
def told(event: Event, number: int) -> Iterator[None]:
    """What an event lacks, with the number of its line. Raises NotAnExport."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError):
        raise NotAnExport(f"Line {number}: this {event['event']} has not the members that such an event has.") from None
