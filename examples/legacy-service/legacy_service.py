"""A service that knows nothing of tokens: it takes whom the gateway names for the user. Standard library only.

SECURITY: it believes X-Auth-Subject, so nobody but the gateway may reach it: it listens on LEGACY_HOST, this machine by default.
"""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        user = self.headers.get("X-Auth-Subject")
        if user is None:
            self._answer(500, {"error": "The gateway did not say who this is."})
        else:
            scopes = self.headers.get("X-Auth-Scope", "").split()
            self._answer(200, {"path": self.path, "user": user, "client": self.headers.get("X-Auth-Client"), "scopes": scopes})

    def log_message(self, format: str, *args: object) -> None:
        """The gateway keeps a log already."""

    def _answer(self, status: int, body: dict[str, object]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


if __name__ == "__main__":
    address = (os.environ.get("LEGACY_HOST", "127.0.0.1"), int(os.environ.get("LEGACY_PORT", "8083")))
    ThreadingHTTPServer(address, Handler).serve_forever()
