"""The server's own settings, under variables that no developer's environment reaches."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

for _name in [name for name in os.environ if name.startswith("AUTH_SERVICE__") or name in {"ENVIRONMENT", "PORT"}]:
    del os.environ[_name]
_folder = tempfile.mkdtemp(prefix="authserver-tests-")
atexit.register(shutil.rmtree, _folder, ignore_errors=True)
os.environ |= {
    "ENVIRONMENT": "development",
    "AUTH_SERVICE__ENV_FILE": "",
    "AUTH_SERVICE__DATA_DIR": _folder,
    "AUTH_SERVICE__SECRET_KEY": "a secret of the tests, and of nothing else",
    "AUTH_SERVICE__DB_URL": os.environ.get("TEST_DB_URL", ""),
}

from authserver.settings import *  # noqa: E402, F403 - after the environment it reads
from authserver.settings import DATA_DIR, DATABASES  # noqa: E402

if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # A file, as in production: an in-memory database has neither WAL nor lock waits.
    DATABASES["default"]["TEST"] = {"NAME": str(Path(DATA_DIR) / "test.db")}
DATABASES["default"]["CONN_MAX_AGE"] = 0
# Looked for when it is asked for: each of thousands of test clients would list all static files before its first request.
WHITENOISE_AUTOREFRESH = True
