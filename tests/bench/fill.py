"""Fill a migrated database with users that have one password, and the clients of the load; prints them as JSON.

Run beside the code of whichever revision is measured: `python -P fill.py USERS PASSWORD PUBLIC_CLIENT SERVICE`.
"""

import json
import os
import sys

BATCH = 5000


def main(users: int, password: str, public_client: str, service: str) -> None:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "authserver.settings")
    django.setup()
    from django.contrib.auth.hashers import make_password

    from accounts.models import User
    from oauth import clients

    encoded = make_password(password)  # the same for all: to verify it takes as long for each of them
    for start in range(0, users, BATCH):
        numbers = range(start, min(users, start + BATCH))
        User.objects.bulk_create(
            User(username=f"bench-{number}", email=f"bench-{number}@example.com", password=encoded) for number in numbers
        )
    User.objects.bulk_create([User(username="bench-disabled", password=encoded, is_active=False)])
    scopes = "api:read api:write"
    common = {"allowed_scopes": scopes, "default_scopes": scopes}
    clients.register(public_client, name="Bench app", is_public=True, grant_types=("password", "refresh_token"), **common)
    made = clients.register(
        service, name="Bench service", is_public=False, grant_types=("client_credentials",), may_introspect=True, **common
    )
    json.dump({"service_secret": made.secret_value}, sys.stdout)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
