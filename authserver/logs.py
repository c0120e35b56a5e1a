"""Log lines for machines (one JSON object a line) and for people; both carry what `extra` gave, and the id of the request being served."""

import json
import logging
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "request", "status_code"}
_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
# What a line of a request says of it besides; the trace, where there are traces (authserver.tracing).
describe_request: Callable[[], dict[str, str]] = dict


class serving:
    """Lines written meanwhile, in this thread, name this request. The thread serves others after it.

    A class, and no generator: that would cost each request three times as much.
    """

    __slots__ = ("_request_id", "_token")

    def __init__(self, request_id: str) -> None:
        self._request_id = request_id

    def __enter__(self) -> None:
        self._token = _request_id.set(self._request_id)

    def __exit__(self, *error: object) -> None:
        _request_id.reset(self._token)


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    extra = {name: value for name, value in vars(record).items() if name not in _STANDARD}
    request_id = _request_id.get()
    return extra if request_id is None else extra | {"request_id": request_id} | describe_request()


class JSONFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_extra(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


class ConsoleFormatter(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", datefmt="%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:
        extra = " ".join(f"{name}={value}" for name, value in _extra(record).items())
        return f"{super().formatMessage(record)} {extra}".rstrip()
