"""JSON that anyone may read, from any origin, and keep for a while (RFC 9110 §8.8.3, §13.1.2)."""

import hashlib
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.utils.http import parse_etags


def as_body(document: Mapping[str, Any]) -> tuple[bytes, str]:
    """The document as sent, and its ETag."""
    content = json.dumps(document, separators=(",", ":")).encode()
    return content, f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def serve(request: HttpRequest, content: bytes, etag: str, *, max_age: timedelta) -> HttpResponse:
    """304 for who has it already."""
    known = parse_etags(request.META.get("HTTP_IF_NONE_MATCH", ""))
    response: HttpResponse
    if "*" in known or etag in known or f"W/{etag}" in known:
        response = HttpResponseNotModified()
    else:
        response = HttpResponse(content, content_type="application/json")
    response["ETag"] = etag
    response["Cache-Control"] = f"public, max-age={int(max_age.total_seconds())}"
    response["Access-Control-Allow-Origin"] = "*"
    return response
