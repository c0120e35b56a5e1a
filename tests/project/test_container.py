"""Dockerfile and .dockerignore: what they say holds, what they make serves, and what replays them reads them as an engine does."""

import http.server
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import connection

from tests.container.build import DECOYS, files_of_a_commit
from tests.container.contents import NEEDED
from tests.container.dockerfile import Config, Ignore, NotUnderstoodError, expand, parse

ROOT = Path(__file__).resolve().parent.parent.parent
REPLAY_SECONDS = 300

# Of the repository, and of no use to a server.
NOT_NEEDED = {
    ".ci",
    ".dockerignore",
    ".env.example",
    ".gitignore",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Dockerfile",
    "Makefile",
    "README.md",
    "SECURITY.md",
}
NOT_NEEDED |= {
    "compose.yaml",
    "docs",
    "examples",
    "pyproject.toml",
    "requirements-dev.txt",
    "requirements-granian.txt",
    "requirements-otel.txt",
    "tests",
}


@pytest.fixture(scope="module")
def image() -> Config:
    """How the image is started."""
    config = Config(environment={"PATH": "/bin"})
    for step in parse(read("Dockerfile"))[-1].steps:
        if step.instruction not in {"COPY", "RUN"}:
            config.take(step)
    return config


# --- Dockerfile ----------------------------------------------------------------------------------


def test_the_image_says_its_version_and_takes_the_python_that_the_tests_run_on(image: Config) -> None:
    project = tomllib.loads(read("pyproject.toml"))

    assert image.labels["org.opencontainers.image.version"] == project["project"]["version"]
    python = f"python:{project['tool']['mypy']['python_version']}"
    assert {stage.name: stage.base for stage in parse(read("Dockerfile"))} == {
        "builder": f"{python}-slim",
        "argon2": python,
        "": f"{python}-slim",
    }


def test_no_setting_but_the_name_of_a_library_and_so_no_secret_stands_in_the_image(image: Config) -> None:
    assert image.environment.keys() == {"PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "AUTH_SERVICE__LIBARGON2"}
    assert image.environment["AUTH_SERVICE__LIBARGON2"] == "libargon2-hwcaps.so.1"


def test_the_image_starts_as_an_unprivileged_number_and_says_where_it_listens(image: Config) -> None:
    assert image.user == "10001:10001"
    assert image.ports == ["8003"]
    assert image.stop_signal == "SIGTERM"
    assert image.command == ["gunicorn", "-c", "authserver/gunicorn.py"]


def test_the_image_has_the_bytecode_of_what_a_start_imports_of_pythons_own_library(tmp_path: Path) -> None:
    [command] = [
        step.arguments for step in parse(read("Dockerfile"))[-1].steps if step.instruction == "RUN" and "compileall" in step.arguments
    ]
    bytecode = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "PYTHONPYCACHEPREFIX": str(tmp_path)}
    imported = (
        "import sys, authserver.wsgi, gunicorn.app.wsgiapp; print(*(getattr(each, '__cached__', '') for each in [*sys.modules.values()]))"
    )

    subprocess.run(["/bin/sh", "-c", command], env=bytecode, check=True, timeout=100)

    done = subprocess.run(
        [sys.executable, "-B", "-c", imported], cwd=ROOT, env=os.environ | bytecode, capture_output=True, text=True, check=True
    )
    library = [Path(name) for name in done.stdout.split() if f"/python{sys.version_info[0]}." in name and "/site-packages/" not in name]
    assert len(library) > 150
    assert [path for path in library if not path.is_file()] == []


@pytest.mark.parametrize(
    ("status", "expected"),
    [(200, 0), (503, 1), (None, 1)],
    ids=["ready", "not ready", "nobody there"],
)
def test_the_health_check_is_that_of_ready(image: Config, status: int | None, expected: int) -> None:
    [program, script] = image.health_command
    with answering(status) as (port, asked):
        done = subprocess.run(
            [sys.executable, ROOT / script],
            env={"AUTH_SERVICE__PORT": str(port), "PORT": "1"},
            capture_output=True,
            timeout=20,
            check=False,
        )

    assert program == "python"
    assert done.returncode == expected, done.stderr
    assert asked == (["/ready"] if status else [])


@pytest.mark.parametrize(
    "text",
    [
        "FROM python\nADD . .",
        "FROM python\nRUN --mount=type=cache,target=/root pip install x",
        "FROM python\nCOPY --chmod=755 . .",
        "FROM python\nCOPY <<EOF /x\nEOF",
        "# syntax=docker/dockerfile:1\nFROM python",
        "RUN true\nFROM python",
        "FROM python\nARG NAME",
        "FROM ${NOWHERE}",
        "FROM python\nRUN true \\",
    ],
)
def test_an_instruction_that_is_not_replayed_is_refused(text: str) -> None:
    with pytest.raises(NotUnderstoodError):
        parse(text)


@pytest.mark.parametrize("text", ["CMD gunicorn", "HEALTHCHECK NONE", "ENV NAME value", "ENV A=${B:-c}", "SHELL []"])
def test_a_form_that_is_not_replayed_is_refused(text: str) -> None:
    with pytest.raises(NotUnderstoodError):
        Config().take(parse(f"FROM python\n{text}")[0].steps[0])


def test_a_dockerfile_is_read_as_an_engine_reads_it() -> None:
    text = """
ARG V=3
FROM a:${V}-b AS one
RUN echo a && \\
    # a comment
    echo "$V"
ENV A="1 2" \\
    B=$A
FROM c
COPY --from=one /x /y
"""

    one, last = parse(text)
    config = Config(environment={"A": "before"})
    config.take(one.steps[1])

    assert (one.name, one.base, last.base) == ("one", "a:3-b", "c")
    assert one.steps[0].arguments.split() == ["echo", "a", "&&", "echo", '"$V"']
    assert config.environment == {"A": "1 2", "B": "before"}
    assert (last.steps[0].flags, last.steps[0].arguments) == ({"from": "one"}, "/x /y")
    assert expand("/opt:$PATH", {"PATH": "/bin"}) == "/opt:/bin"


# --- .dockerignore -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [*DECOYS, ".git/HEAD", "data/auth.db", "deploy/other.py", "docs/settings.md", "oauth/management/__pycache__/x.pyc"]
)
def test_what_lies_about_in_a_checkout_does_not_reach_an_engine(name: str) -> None:
    assert Ignore(read(".dockerignore")).leaves_out(name)


def test_whatever_is_in_the_repository_is_in_the_image_or_known_to_be_of_no_use_there() -> None:
    names = files_of_a_commit()
    ignore = Ignore(read(".dockerignore"))

    let_in = {name.split("/")[0] for name in names if not ignore.leaves_out(name)}
    top = {name.split("/")[0] for name in names}

    assert let_in - NEEDED == set()
    assert top - NEEDED == top & NOT_NEEDED


def test_the_image_is_built_with_what_traces_need_as_operations_says() -> None:
    [said] = re.findall(r"^sed -i 's/(\S+)/(\S+)/' Dockerfile \.dockerignore$", read("docs/operations.md"), re.MULTILINE)
    dockerfile, ignore = (re.sub(said[0], said[1], read(name)) for name in ("Dockerfile", ".dockerignore"))

    steps = [step for stage in parse(dockerfile) for step in stage.steps if "requirements" in step.arguments]

    assert [step.instruction for step in steps] == ["COPY", "RUN"]
    assert all("requirements-otel.txt" in step.arguments and "requirements.txt" not in step.arguments for step in steps)
    assert not Ignore(ignore).leaves_out("requirements-otel.txt")


def test_the_image_serves_by_granian_as_operations_says(tmp_path: Path) -> None:
    [command] = re.findall(r"^sed -i 's/.*granian.*' Dockerfile \.dockerignore$", read("docs/operations.md"), re.MULTILINE)
    for name in ("Dockerfile", ".dockerignore"):
        shutil.copy(ROOT / name, tmp_path)

    subprocess.run(shlex.split(command), cwd=tmp_path, check=True)

    dockerfile, ignore = ((tmp_path / name).read_text(encoding="utf-8") for name in ("Dockerfile", ".dockerignore"))
    steps = [step for stage in parse(dockerfile) for step in stage.steps]
    assert [step.instruction for step in steps if "requirements-granian.txt" in step.arguments] == ["COPY", "RUN"]
    assert [step.arguments for step in steps if step.instruction == "CMD"] == ['["python", "-m", "authserver.granian"]']
    assert not Ignore(ignore).leaves_out("requirements-granian.txt")


@pytest.mark.parametrize(
    ("patterns", "left_out", "let_in"),
    [
        ("*\n!a", "b/c", "a/b/c"),
        ("*\n!a/b", "a/c", "a/b/c"),
        ("a\n!a/b\na/b/c", "a/b/c", "a/b/d"),
        ("**/x", "a/b/x/y", "a/xy"),
        ("*.md", "a.md", "a/b.md"),
    ],
)
def test_patterns_decide_as_an_engines_do(patterns: str, left_out: str, let_in: str) -> None:
    ignore = Ignore(f"# a comment\n\n{patterns}\n")

    assert ignore.leaves_out(left_out)
    assert not ignore.leaves_out(let_in)


# --- The whole of it -----------------------------------------------------------------------------

if connection.vendor == "postgresql":  # once is enough, and it is the database of compose.yaml

    def test_the_image_is_made_step_by_step_and_serves_as_compose_says(capsys: pytest.CaptureFixture[str]) -> None:
        as_root = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
        if subprocess.run([*as_root, "unshare", "--mount", "true"], capture_output=True, check=False).returncode != 0:
            reason = "only root can mount, and not in every container: sudo .venv/bin/python tests/replay_dockerfile.py"
            pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)

        done = subprocess.run(
            [*as_root, sys.executable, ROOT / "tests" / "replay_dockerfile.py"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=REPLAY_SECONDS,
            check=False,
        )

        with capsys.disabled():
            print(f"\n{done.stdout}")
        assert done.returncode == 0
        assert re.search(r"^replayed in \d+ s$", done.stdout, re.MULTILINE)


# --- What the tests need -------------------------------------------------------------------------


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@contextmanager
def answering(status: int | None) -> Iterator[tuple[int, list[str]]]:
    """A server that answers everything so, or nobody at all. Gives its port, and the paths that were asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status or 500)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        port = server.server_address[1]
        if status is None:
            server.server_close()
            yield port, asked
            return
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield port, asked
        server.shutdown()
        thread.join()
