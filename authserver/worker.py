"""gunicorn's threaded worker; what it cannot read as HTTP is answered as every other refusal is."""

import json
import logging
import secrets
import socket
from http import HTTPStatus
from typing import Any

from gunicorn import util
from gunicorn.http import errors
from gunicorn.workers.gthread import ThreadWorker

STATUSES = {
    errors.LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    errors.LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    errors.ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
    errors.UnsupportedTransferCoding: HTTPStatus.NOT_IMPLEMENTED,  # RFC 9112 §6.1
}

# What went wrong on our side although it is of the same family.
OURS = (errors.InvalidResponseHeader, errors.InvalidResponseHeaderName, errors.ConfigurationProblem)

logger = logging.getLogger("authserver.refusals")


class Worker(ThreadWorker):
    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: Exception) -> None:
        if not isinstance(exc, errors.ParseException) or isinstance(exc, OURS):
            super().handle_error(req, client, addr, exc)
            return
        error_id, status = secrets.token_hex(8), STATUSES.get(type(exc), HTTPStatus.BAD_REQUEST)
        # SECURITY: the kind of the error alone: its text quotes the request, and that may be a line with a secret.
        extra = {"error": "invalid_request", "reason": type(exc).__name__, "status": status.value, "error_id": error_id}
        logger.info("refused", extra=extra)
        try:
            util.write_nonblock(client, _answer(status, error_id))
        except OSError:
            logger.debug("the client had gone")


def _answer(status: HTTPStatus, error_id: str) -> bytes:
    description = "This is not HTTP as this server reads it."
    body = json.dumps({"error": "invalid_request", "error_description": description, "error_id": error_id})
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}",
        "Connection: close",
        "Content-Type: application/json",
        "Cache-Control: no-store",
        "Pragma: no-cache",
        "X-Content-Type-Options: nosniff",
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join((*head, "", body)).encode()
