"""Pictures of the admin's pages, for looking at and for docs/: on a database of its own, with a small world in it (`make screenshots`).

python -m tests.screenshots           those of the docs into docs/images, all of them into build/screenshots
python -m tests.screenshots FOLDER    all of them into FOLDER
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS, BUILD = ROOT / "docs/images", ROOT / "build/screenshots"


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="authserver-screenshots-") as folder:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AUTH_SERVICE__")} | {
            "ENVIRONMENT": "development",
            "AUTH_SERVICE__ENV_FILE": "",
            "AUTH_SERVICE__DATA_DIR": folder,
            "AUTH_SERVICE__DB_URL": f"sqlite:///{folder}/auth.db",
            "AUTH_SERVICE__ENABLE_RATE_LIMITING": "false",  # the world attacks itself
            "AUTH_SERVICE__LOG_LEVEL": "ERROR",
            "AUTH_SERVICE__EMAIL_URL": f"file://{folder}/mails",
            "DJANGO_SETTINGS_MODULE": "authserver.settings",
            "DJANGO_ALLOW_ASYNC_UNSAFE": "true",  # Playwright's loop runs in the thread that asks the database
        }
        return subprocess.run(
            [sys.executable, "-m", "tests.screenshots.take", *sys.argv[1:]], cwd=ROOT, env=environment, check=False
        ).returncode


if __name__ == "__main__":
    sys.exit(main())
