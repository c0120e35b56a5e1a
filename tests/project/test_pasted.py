"""What the pages have people paste and no test runs: its commands, options, services and files exist."""

import re
import shlex
from collections.abc import Iterator

import yaml
from django.core.management import get_commands, load_command_class

from tests.project.test_docs import PAGES, ROOT, code_of

SHELL = re.compile(r"^ *```sh\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
COMPOSE = re.compile(r"docker compose (build|exec|logs|restart|run|start|stop|up)\b([^|;&<>`\n]*)")
ANYTHING = "2026-01-31"  # in place of what the reader puts in: a time, or a name


def scripts() -> list[str]:
    return [script for page in PAGES for script in SHELL.findall(page.read_text("utf-8"))]


def commands_in(script: str) -> Iterator[list[str]]:
    """What stands behind each `manage.py`, up to the end of the line, a pipe or a bracket."""
    text = re.sub(r"\\\n|(?:^|\s)#.*", " ", script)
    words = shlex.shlex(re.sub(r"\$\(date [^)]*\)|\$\w+", ANYTHING, text), posix=True, punctuation_chars="();<>|&\n")
    words.whitespace, words.whitespace_split, words.commenters = " \t", True, ""
    found: list[str] | None = None
    for word in words:
        if word.endswith("manage.py"):
            found = []
        elif found and set(word) <= set(words.punctuation_chars):
            yield found
            found = None
        elif found is not None:
            found.append(word)


def test_every_command_of_manage_py_understands_its_options() -> None:
    pasted = [words for script in scripts() for words in commands_in(script) if words != ["help"]]

    for name, *options in pasted:
        parser = load_command_class(get_commands()[name], name).create_parser("manage.py", name)
        parser.parse_args(options)  # raises CommandError

    assert len(pasted) > 40
    assert {"after_restore", "migrate", "set_password"} <= {name for name, *_ in pasted}


def test_compose_has_every_service_that_a_page_names_and_what_one_runs_by_itself_migrates() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))["services"]
    pasted = [(act, shlex.split(rest)) for page in PAGES for code in code_of(page) for act, rest in COMPOSE.findall(code)]
    # Of these two a command may follow; the others take services alone.
    words = [(act, [word for word in rest if not word.startswith("-")][: 1 if act == "exec" else None]) for act, rest in pasted]
    by_itself = {rest[0] for act, rest in words if act == "run" and len(rest) == 1}

    assert len(words) > 15
    assert {word for act, rest in words for word in (rest[:1] if act == "run" else rest)} <= services.keys()
    assert by_itself == {"migrate"}
    assert "manage.py migrate" in str(services["migrate"]["command"])


def test_every_file_of_requirements_is_there() -> None:
    files = {name for script in scripts() for name in re.findall(r"pip install.* -r (\S+)", script)}

    assert "requirements.txt" in files
    assert [name for name in files if not (ROOT / name).is_file()] == []
