"""Django's deployment checks, over the environment of a complete production server. Exits as they do."""

import os
import secrets
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ISSUER_HOST = "auth.example.com"


def production() -> dict[str, str]:
    """What an operator sets, and nothing of the person who runs this. The database is never connected to."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("AUTH_SERVICE__") and name not in {"ENVIRONMENT", "PORT"}
    }
    return inherited | {
        "AUTH_SERVICE__ENV_FILE": "",
        "AUTH_SERVICE__SECRET_KEY": secrets.token_urlsafe(48),
        "AUTH_SERVICE__TOKEN_KEYS": secrets.token_urlsafe(48),
        "AUTH_SERVICE__KEY_ENCRYPTION_KEYS": secrets.token_urlsafe(48),
        "AUTH_SERVICE__JWT_ISSUER": f"https://{ISSUER_HOST}",
        "AUTH_SERVICE__ALLOWED_HOSTS": ISSUER_HOST,
        "AUTH_SERVICE__DB_URL": "postgresql://authserver@127.0.0.1:1/authserver",
        "AUTH_SERVICE__REDIS_URL": "rediss://:secret@redis.example.com",
        "AUTH_SERVICE__EMAIL_URL": "submission://authserver:secret@mail.example.com",
    }


def main() -> int:
    command = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    return subprocess.run(command, cwd=ROOT, env=production(), check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
