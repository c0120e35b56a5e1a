"""What a process is left with that has loaded the application, and what it did without."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def run(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=100)


def test_rest_framework_does_without_requests_and_everybody_else_may_have_it() -> None:
    run("""
import sys, authserver.wsgi
assert "requests" not in sys.modules
import requests, rest_framework.compat
assert requests.Session and rest_framework.compat.requests is None
""")


def test_who_has_imported_requests_before_keeps_it() -> None:
    run("""
import sys, requests, authserver.wsgi
assert sys.modules["requests"] is requests
""")
