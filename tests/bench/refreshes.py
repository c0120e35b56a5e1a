"""Refresh sessions as the server does, without HTTP and without a signature: how a table grows asks for a million of them in minutes.

`python -P refreshes.py CLIENT_ID COUNT` with the environment of a server. Refresh tokens come on standard input, one a line, and are
spent in turns.
"""

import os
import sys


def main(client_id: str, count: int, tokens: list[str]) -> None:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "authserver.settings")
    django.setup()
    from oauth import sessions
    from oauth.models import Client
    from oauth.session_rows import Origin

    client = Client.objects.get(client_id=client_id)
    origin = Origin("198.51.100.1", "Bench/1 (Telephone 1; en)")
    for number in range(count):
        place = number % len(tokens)
        issued = sessions.refresh(tokens[place], client=client, scope="", idempotency_key="", origin=origin)
        tokens[place] = issued.refresh_token_value


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.stdin.read().split())
