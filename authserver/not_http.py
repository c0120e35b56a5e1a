"""What is answered when a request is not HTTP as this server reads it, and what the log says of it."""

import json
import logging
import secrets
from http import HTTPStatus

logger = logging.getLogger("authserver.refusals")


def refuse(status: HTTPStatus, *, reason: str) -> tuple[list[tuple[str, str]], bytes]:
    """The headers and the body of the answer; after it the connection ends. `reason` quotes nothing of the request."""
    error_id = secrets.token_hex(8)
    logger.info("refused", extra={"error": "invalid_request", "reason": reason, "status": status.value, "error_id": error_id})
    description = "This is not HTTP as this server reads it."
    body = json.dumps({"error": "invalid_request", "error_description": description, "error_id": error_id}).encode()
    headers = {
        "Connection": "close",
        "Content-Type": "application/json",
        "Cache-Control": "no-store",
        "Pragma": "no-cache",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Content-Length": str(len(body)),
    }
    return list(headers.items()), body
