"""The page of the API in a real browser, under the server's Content-Security-Policy."""

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from tests.e2e.servers import Server, clean_environment

VIOLATION = "Content Security Policy directive"
Browse = Callable[[str], tuple[str, str]]


@pytest.fixture
def browse(tmp_path: Path) -> Browse:
    """Open a page in Chromium: what it looks like when its scripts have run, and what the console says."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.fail("chromium is not installed") if os.environ.get("CI") == "true" else pytest.skip("chromium is not installed")

    def open_page(url: str) -> tuple[str, str]:
        done = subprocess.run(
            [
                *(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server"),
                *("--enable-logging=stderr", "--v=0", f"--user-data-dir={tmp_path}", "--virtual-time-budget=20000", "--dump-dom", url),
            ],
            env=clean_environment(HOME=str(tmp_path)),
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            check=True,
        )
        return done.stdout, done.stderr

    return open_page


def test_the_page_shows_every_operation_and_violates_no_policy(server: Server, browse: Browse) -> None:
    document = httpx.get(f"{server.base_url}/api/openapi.json").json()

    drawn, console = browse(f"{server.base_url}/api/docs")

    assert [path for path in document["paths"] if f'data-path="{path}"' not in drawn] == []
    # The only origin that the page may call is its own; the issuer has another name here.
    assert f">{server.base_url}</option>" in drawn
    assert VIOLATION not in console
    assert "Uncaught" not in console


def test_a_page_that_violated_the_policy_would_be_noticed(server: Server, browse: Browse) -> None:
    policy = httpx.get(f"{server.base_url}/api/docs").headers["Content-Security-Policy"]

    with serving(b"<title>wrong</title><p style='color: red'>inline</p>", policy=policy) as url:
        _, console = browse(url)

    assert VIOLATION in console


@contextmanager
def serving(page: bytes, *, policy: str) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Security-Policy", policy)
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}/"
        http.shutdown()
