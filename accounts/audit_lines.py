"""Audit events as text for other programs: JSON lines, and CSV that no spreadsheet takes for formulas."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from datetime import UTC
from typing import Any

from accounts.models import AuditEvent

COLUMNS = ("id", "at", "event", "actor_id", "target", "client_id", "address", "user_agent", "error_id", "detail")
# What a spreadsheet takes for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def line(event: AuditEvent) -> dict[str, Any]:
    return {
        "id": event.pk,
        "at": event.at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "event": event.event,
        "actor_id": None if event.actor_id is None else str(event.actor_id),
        "target": event.target,
        "client_id": event.client_id,
        "address": event.address,
        "user_agent": event.user_agent,
        "error_id": event.error_id,
        "detail": event.detail,
    }


def as_json(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def json_lines(events: Iterable[AuditEvent | str]) -> Iterator[str]:
    """A text among the events is a note of its own line: {"note": …}."""
    for event in events:
        yield as_json({"note": event} if isinstance(event, str) else line(event)) + "\n"


def csv_lines(events: Iterable[AuditEvent | str]) -> Iterator[str]:
    """A text among the events is a note, alone in its line."""
    yield _row(COLUMNS)
    for event in events:
        yield _row([event] if isinstance(event, str) else [*line(event).values()])


def _row(values: Iterable[Any]) -> str:
    text = io.StringIO()
    csv.writer(text).writerow(_cell(value) for value in values)
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, dict):
        value = as_json(value)
    # SECURITY: or what a stranger sent, a user agent for one, runs as a formula where staff open the file.
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
