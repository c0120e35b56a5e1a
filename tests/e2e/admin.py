"""A token with `auth:admin` of a server that runs, for the staff user of its demo data."""

import sys

from tests.e2e.servers import ROOT, Server, run

# Signed in an hour from now: long enough for tests that take more than the 15 minutes of a recent sign-in.
PROGRAM = """
import django
django.setup()
from datetime import timedelta
from accounts.models import User
from oauth.models import Client
from tests.admin_tokens import token_of
print(token_of(User.objects.get(username="admin"), client=Client.objects.get(client_id="codelab-python-client"), ago=timedelta(hours=-1)))
"""


def admin_token(server: Server) -> str:
    return run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, environment={"DJANGO_SETTINGS_MODULE": "authserver.settings", **server.environment}
    ).strip()
