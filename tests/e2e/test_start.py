"""What is loaded and settled before the processes part, as seen from inside a process that serves."""

import json
import os
import signal
import time
from contextlib import ExitStack

import httpx
import pytest

from tests.e2e import calls
from tests.e2e.servers import SERVED_BY
from tests.e2e.wire import Wire

# The server's own configuration; each process writes down what it is like when it begins, and what it had to import by its end.
WATCHED = """
import gc, json, os, runpy, sys
from pathlib import Path

globals().update(runpy.run_path("authserver/gunicorn.py"))
_folder, _part, _begin, _end = Path({folder!r}), post_fork, post_worker_init, worker_exit

def write(name, seen):
    whole = _folder / f"{{name}}-{{os.getpid()}}"
    whole.with_name(f".{{whole.name}}").write_text(json.dumps(seen))
    whole.with_name(f".{{whole.name}}").rename(whole)  # who waits for it never reads a half

def post_fork(server, worker):
    worker.had = set(sys.modules)
    (_folder / "master").write_text(str(os.getppid()))
    _part(server, worker)

def post_worker_init(worker):
    _begin(worker)
    write("began", [gc.isenabled(), gc.get_freeze_count()])

def worker_exit(server, worker):
    write("imported", sorted(set(sys.modules) - worker.had))
    _end(server, worker)
"""

# Django looks for them by their names with the first page.
SMALL = {"django.contrib.messages.storage.cookie", "django.contrib.messages.storage.session", "django.contrib.sessions.serializers"}


@pytest.fixture
def watched(start_server, tmp_path):
    (tmp_path / "watched.py").write_text(WATCHED.format(folder=str(tmp_path)))
    return start_server(configuration=str(tmp_path / "watched.py"), WEB_CONCURRENCY="1")


def reload(folder):
    """Let gunicorn read its configuration anew, and wait until the process that served has ended."""
    [served] = folder.glob("began-*")
    os.kill(int((folder / "master").read_text()), signal.SIGHUP)
    ended = folder / served.name.replace("began", "imported")
    for _ in range(400):
        if ended.exists() and len(list(folder.glob("began-*"))) == 2:
            return json.loads(ended.read_text())
        time.sleep(0.1)
    raise AssertionError("the processes have not changed")


def test_a_process_that_serves_looks_for_garbage_among_what_came_after_the_start(watched, tmp_path):
    reload(tmp_path)

    for began in tmp_path.glob("began-*"):
        is_enabled, frozen = json.loads(began.read_text())
        assert is_enabled
        assert frozen > 100_000


def test_what_the_first_requests_need_is_imported_before_the_processes_part(watched, tmp_path):
    with httpx.Client(base_url=watched.base_url, timeout=20) as http:
        tokens = calls.sign_in(http)
        assert calls.refresh(http, tokens["refresh_token"]).status_code == 200
        assert [http.get(path).status_code for path in ("/ready", "/.well-known/jwks.json", "/sign-in", "/admin/")] == [200, 200, 200, 302]

    assert set(reload(tmp_path)) <= SMALL


def test_the_description_of_the_api_may_be_what_a_server_is_asked_first(watched):
    document = httpx.get(f"{watched.base_url}/api/openapi.json", timeout=20)

    assert document.json()["paths"]["/api/v1/me"]
    assert httpx.get(f"{watched.base_url}/api/docs", timeout=20).status_code == 200


# --- How many connections it takes ---------------------------------------------------------------

POOR = """
import resource, runpy

resource.setrlimit(resource.RLIMIT_NOFILE, ({files}, {files}))
globals().update(runpy.run_path("authserver/gunicorn.py"))
"""
FILES = 160


@pytest.mark.skipif(SERVED_BY != "gunicorn", reason="gunicorn's")
def test_more_connections_than_it_may_have_files_wait_and_end_no_process(start_server, tmp_path):
    (tmp_path / "poor.py").write_text(POOR.format(files=FILES))
    server = start_server(configuration=str(tmp_path / "poor.py"), WEB_CONCURRENCY="1")

    with ExitStack() as stack:
        for _ in range(FILES + 40):
            stack.enter_context(Wire(server.port))
        time.sleep(1)  # until those for whom there is room are in
    answer = httpx.get(f"{server.base_url}/live", timeout=20)

    assert answer.status_code == 200
    assert "Too many open files" not in server.output()
