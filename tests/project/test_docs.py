"""The documentation says all that there is, and nothing that is not."""

import os
import re
import runpy
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import get_commands
from django.test import Client as Browser
from django.urls import URLPattern, URLResolver, get_resolver
from prometheus_client.metrics import MetricWrapperBase

from accounts import audit, metrics
from authserver import settings as server_settings
from oauth.errors import OAuthError

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = sorted(path for folder in (ROOT, ROOT / "docs") for path in folder.glob("*.md"))
FOLDERS = ("accounts", "authserver", "docs", "oauth", "tests")

ENDPOINT = re.compile(r"(GET|POST|PUT|PATCH|DELETE) (/\S*)")
EXAMPLE = re.compile(r"^- Example: `(\w+)=(.*)`$", re.MULTILINE)
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
MAKE = re.compile(r"\bmake ([a-z]+)\b")


def test_every_setting_that_is_read_has_a_heading_and_no_other_name_has() -> None:
    documented = set(headings("docs/settings.md", level=3))

    assert documented == settings_that_are_read()


def test_the_page_names_every_setting_that_may_stand_in_a_file() -> None:
    known = server_settings.env._known
    named = set(re.findall(r"`(AUTH_SERVICE__\w+)`", section("docs/settings.md", "Secrets in files")))

    assert named == {name for name in known if f"{name}_FILE" in known}


def test_every_example_of_a_setting_is_accepted_by_the_server() -> None:
    examples = dict(EXAMPLE.findall(read("docs/settings.md")))
    old_names = {"AUTH_SERVICE__MASTER_KEY", "AUTH_SERVICE__PUBLIC_KEY_PATH"}

    read_with_examples = start_with({name: fill(value) for name, value in examples.items()})

    assert set(examples) == settings_that_are_read() - old_names
    assert read_with_examples["ENVIRONMENT"] == "production"


def test_the_defaults_of_the_documented_numbers_are_those_of_the_server() -> None:
    sections = re.findall(r"^### (AUTH_SERVICE__\w+)\n\n- Value: .*\n- Default: `(\d+)`$", read("docs/settings.md"), re.MULTILINE)
    documented = {name: int(default) for name, default in sections}

    actual = defaults_of(documented)

    assert len(documented) >= 10
    assert documented == actual


def test_a_copy_of_the_env_example_starts_a_server() -> None:
    values = dict(re.findall(r"^(\w+)=(.*)$", read(".env.example"), re.MULTILINE))

    assert values["ENVIRONMENT"] == "development"
    assert start_with(values)["JWT_ISSUER"] == "http://localhost:8003"


def test_the_env_example_names_no_setting_that_nobody_reads() -> None:
    named = set(re.findall(r"^#?([A-Z_]+)=", read(".env.example"), re.MULTILINE))

    assert len(named) > 10
    assert named <= settings_that_are_read()


def test_every_url_has_a_heading_and_no_other_path_has() -> None:
    documented = {path for _, path in documented_endpoints()}

    assert documented == set(paths_of(get_resolver()))


@pytest.mark.django_db
def test_every_documented_method_is_answered_at_its_path(settings: Any) -> None:
    settings.REGISTRATION = "open"
    settings.METRICS_TOKEN = "without it there is nothing at /metrics"
    settings.CLIENT_REGISTRATION_TOKEN = "without it nobody registers software"
    browser = Browser(raise_request_exception=False, HTTP_AUTHORIZATION=f"Bearer {settings.METRICS_TOKEN}")

    statuses = {(method, path): browser.generic(method, path).status_code for method, path in documented_endpoints()}

    assert {endpoint for endpoint, status in statuses.items() if status in {404, 405, 500}} == set()


def test_every_error_code_has_a_heading_and_no_other_code_has() -> None:
    documented = {title for title in headings("docs/endpoints.md", level=4) if re.fullmatch(r"[a-z_]+", title)}

    assert documented == {"server_error"} | {refusal.error for refusal in refusals(OAuthError)}


def test_every_audit_event_has_a_heading_and_no_other_event_has() -> None:
    documented = {title for title in headings("docs/security.md", level=3) if re.fullmatch(r"\w+:\w+:\w+", title)}

    assert documented == audit.EVENTS


def test_every_system_check_has_a_heading_and_no_other_id_has() -> None:
    documented = {title for title in headings("docs/security.md", level=3) if re.fullmatch(r"\w+\.[IWE]\d+", title)}
    ids = {check_id for source in ROOT.glob("*/checks.py") for check_id in re.findall(r'\bid="([^"]+)"', source.read_text("utf-8"))}

    assert "accounts.I001" in ids
    assert documented == ids


def test_every_metric_has_a_heading_and_no_other_name_has() -> None:
    documented = {title for title in headings("docs/operations.md", level=3) if title.startswith("auth_")}

    assert documented == {metric._original_name for metric in vars(metrics).values() if isinstance(metric, MetricWrapperBase)}


def test_every_command_of_ours_has_a_heading_and_every_heading_is_a_command() -> None:
    documented = {title.removeprefix("manage.py ") for title in headings("docs/commands.md", level=3) if title.startswith("manage.py ")}
    ours = {path.stem for path in ROOT.glob("*/management/commands/*.py") if not path.stem.startswith("_")}

    assert "bootstrap" in ours
    assert ours <= documented <= set(get_commands())


def test_every_option_of_our_commands_is_documented() -> None:
    ours = [path for path in ROOT.glob("*/management/commands/*.py") if not path.stem.startswith("_")]

    options = {(path.stem, option) for path in ours for option in re.findall(r'add_argument\(\s*"([\w-]+)"', path.read_text("utf-8"))}

    assert ("bootstrap", "--demo") in options
    assert {
        (command, option) for command, option in options if f"`{option}`" not in section("docs/commands.md", f"manage.py {command}")
    } == set()


def test_every_make_target_has_a_heading_and_every_heading_is_a_target() -> None:
    documented = {title.removeprefix("make ") for title in headings("docs/commands.md", level=3) if title.startswith("make ")}

    assert documented == make_targets()


def test_every_make_target_that_a_page_names_exists() -> None:
    named = {target for page in PAGES for code in code_of(page) for target in MAKE.findall(code)}

    assert {"run", "test", "check"} <= named
    assert named <= make_targets()


def test_every_link_leads_to_a_file_and_a_heading_that_exist() -> None:
    links = [(page, link) for page in PAGES for link in LINK.findall(prose(page)) if "://" not in link]

    assert {page.name for page, _ in links} > {"README.md", "endpoints.md"}
    assert [f"{page.name}: {link}" for page, link in links if not leads_somewhere(link, page=page)] == []


def test_the_pictures_are_small_and_each_is_shown_on_a_page() -> None:
    shown = {
        (page.parent / link).resolve() for page in PAGES for link in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page.read_text(encoding="utf-8"))
    }
    sizes = {path: path.stat().st_size for path in (ROOT / "docs/images").iterdir()}

    assert {path.resolve() for path in sizes} == shown
    assert [path.name for path, size in sizes.items() if size > 120_000] == []
    assert sum(sizes.values()) < 1_500_000


def test_every_file_that_a_page_names_exists() -> None:
    pattern = re.compile(rf"`((?:{'|'.join(FOLDERS)})/[\w./]+)`")
    named = [(page, name) for page in PAGES for name in pattern.findall(prose(page))]

    assert {page.name for page, _ in named} > {"architecture.md", "security.md"}
    assert [f"{page.name}: {name}" for page, name in named if not (ROOT / name).exists()] == []


def test_every_module_has_its_sentence_in_the_architecture() -> None:
    table = section("docs/architecture.md", "Modules")
    plumbing = {"__init__.py", "apps.py", "urls.py"}
    modules = {f"{path.parent.name}/{path.name}" for app in ("accounts", "authserver", "oauth") for path in (ROOT / app).glob("*.py")}

    assert "oauth/sessions.py" in modules
    assert {module for module in modules if f"`{module}`" not in table and Path(module).name not in plumbing} == set()


def test_the_lines_of_shell_in_the_pages_are_well_formed() -> None:
    blocks = [block for page in PAGES for block in re.findall(r"^```sh\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)]

    checked = [subprocess.run(["bash", "-n"], input=block, text=True, capture_output=True, check=False) for block in blocks]

    assert len(blocks) > 10
    assert [result.stderr for result in checked if result.returncode] == []


# --- What there is -------------------------------------------------------------------------------


def settings_that_are_read() -> set[str]:
    """Every name that a reader of the settings asks for, without the second names of secrets."""
    known = server_settings.env._known
    files = {name for name in known if name.endswith("_FILE") and name.removesuffix("_FILE") in known}
    assert "AUTH_SERVICE__SECRET_KEY_FILE" in files
    return known - files


def start_with(variables: dict[str, str]) -> dict[str, Any]:
    """The names of the settings module, executed anew under these variables alone. A wrong one raises ConfigurationError."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AUTH_SERVICE__") or name in {"ENVIRONMENT", "PORT"}]:
            patch.delenv(name)
        for name, value in ({"AUTH_SERVICE__ENV_FILE": "", "AUTH_SERVICE__DATA_DIR": str(server_settings.DATA_DIR)} | variables).items():
            patch.setenv(name, value)
        return runpy.run_path(str(ROOT / "authserver/settings.py"))


def fill(value: str) -> str:
    """An example as it would be used: each <placeholder> becomes a random secret."""
    return re.sub(r"<[^>]+>", lambda _: secrets.token_urlsafe(48), value)


def defaults_of(names: dict[str, int]) -> dict[str, int]:
    """What a development server takes for these numbers when nothing is set."""
    values = start_with({"ENVIRONMENT": "development"})
    found = {name: values.get(name.removeprefix("AUTH_SERVICE__")) for name in names}
    return {name: int(value.total_seconds()) if hasattr(value, "total_seconds") else int(value) for name, value in found.items()}


def paths_of(resolver: URLResolver, prefix: str = "/") -> Iterator[str]:
    """Every path of the server, a converter as {name}; the admin is one."""
    for entry in resolver.url_patterns:
        path = prefix + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", str(entry.pattern))
        if isinstance(entry, URLPattern) or entry.app_name == "admin":
            yield path
        else:
            yield from paths_of(entry, path)


def refusals(parent: type[OAuthError]) -> Iterator[type[OAuthError]]:
    for child in parent.__subclasses__():
        if child.__module__.startswith(("oauth.", "accounts.", "authserver.")):
            yield child
            yield from refusals(child)


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z0-9-]+):", read("Makefile"), re.MULTILINE))


# --- What the pages say --------------------------------------------------------------------------


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def prose(page: Path) -> str:
    """A page without its blocks of code, in which # begins a comment."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def code_of(page: Path) -> list[str]:
    """The blocks of code and the words in backticks of a page."""
    return FENCE.findall(page.read_text(encoding="utf-8")) + re.findall(r"`[^`\n]+`", prose(page))


def headings(name: str, *, level: int) -> list[str]:
    return [title for marks, title in HEADING.findall(prose(ROOT / name)) if len(marks) == level]


def section(name: str, title: str) -> str:
    """The text from a heading to the next one."""
    _, found, rest = read(name).partition(f"# {title}\n")
    assert found, f"{name} has no heading {title}"
    return re.split(r"^#+ ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def documented_endpoints() -> set[tuple[str, str]]:
    matches = [ENDPOINT.fullmatch(title) for title in headings("docs/endpoints.md", level=3)]
    return {(match[1], match[2]) for match in matches if match is not None}


def leads_somewhere(link: str, *, page: Path) -> bool:
    name, _, anchor = link.partition("#")
    target = (page.parent / name).resolve() if name else page
    if not target.exists():
        return False
    return not anchor or (target.suffix == ".md" and anchor in anchors(target))


def anchors(page: Path) -> set[str]:
    """The anchors that forges give to headings: lower case, punctuation dropped, spaces as hyphens, repeated ones numbered."""
    seen: dict[str, int] = {}
    result = set()
    for _, title in HEADING.findall(prose(page)):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title)
        slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        count = seen[slug] = seen.get(slug, -1) + 1
        result.add(slug if count == 0 else f"{slug}-{count}")
    return result
