"""Requests as gunicorn hands them to the application, for tests of what stands before Django."""

import io
from typing import Any


def environ_of(method: str, path: str, **changes: Any) -> dict[str, Any]:
    """A change to None leaves a variable out; `wsgi.url_scheme` and the like are given as `**{...}`."""
    made = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "SCRIPT_NAME": "",
        "QUERY_STRING": "",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "8003",
        "HTTP_HOST": "localhost",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
        "wsgi.url_scheme": "http",
        "wsgi.multithread": True,
    } | changes
    return {name: value for name, value in made.items() if value is not None}
