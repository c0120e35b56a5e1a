"""Whether the server in this container is ready: asks its /ready, as HEALTHCHECK in the Dockerfile wants it."""

import http.client
import os
import sys

TIMEOUT_SECONDS = 4  # below that of HEALTHCHECK


def main() -> int:
    port = os.environ.get("AUTH_SERVICE__PORT") or os.environ.get("PORT") or "8003"
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/ready")
        answer = connection.getresponse()
        print(answer.status, answer.read(500).decode(errors="replace"))  # noqa: T201 - the engine keeps what is printed
    except (OSError, http.client.HTTPException) as error:
        print(f"no answer: {error}")  # noqa: T201
        return 1
    return 0 if answer.status == 200 else 1


if __name__ == "__main__":
    sys.exit(main())
