"""The integration guide does what it says: each block of code is run or found in the source, and none is left out.

Its messages and settings: test_integration_guide_messages.py.
"""

import asyncio
import io
import json
import re
import subprocess
import sys

import pytest
import yaml
from dotenv import dotenv_values
from fastapi.testclient import TestClient

from oauth.errors import OAuthError
from tests.e2e.dart_source import constants
from tests.e2e.guide_pages import ENGLISH, EXAMPLES, PACKAGES, RUSSIAN, bearer, blocks_of, sign_in
from tests.e2e.servers import clean_environment, run
from tests.e2e.test_docs_examples import STRICT
from tests.project.test_docs import FENCE, LINK, anchors, leads_somewhere, make_targets, refusals, settings_that_are_read

LANGUAGES = {"dart", "env", "json", "python", "sh", "text", "yaml"}
BOTH = pytest.mark.parametrize("page", [ENGLISH, RUSSIAN], ids=["en", "ru"])


@pytest.fixture(autouse=True)
def packages(monkeypatch):
    """What the guide has its readers install."""
    for package in PACKAGES:
        monkeypatch.syspath_prepend(package)


# --- The pages ------------------------------------------------------------------------------------


@BOTH
def test_no_block_is_of_a_kind_that_nothing_here_looks_at(page):
    fences = re.findall(r"^\s*(?:```|~~~)", page.read_text(encoding="utf-8"), re.MULTILINE)

    assert {block.language for block in blocks_of(page)} == LANGUAGES
    assert len(fences) == 2 * len(blocks_of(page))


def test_both_languages_show_the_same_code_under_the_same_headings():
    english, russian = ([(block.language, block.text) for block in blocks_of(page)] for page in (ENGLISH, RUSSIAN))
    levels = [re.findall(r"^(#+) ", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE) for page in (ENGLISH, RUSSIAN)]

    assert english == russian
    assert levels[0] == levels[1]


def test_both_languages_name_the_same_things():
    words = re.compile(r"`([^`\n]+)`")
    english, russian = ({*words.findall(FENCE.sub("", page.read_text(encoding="utf-8")))} for page in (ENGLISH, RUSSIAN))

    assert english == russian


@BOTH
def test_every_link_leads_somewhere(page):
    links = [link for link in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))) if "://" not in link]

    assert len(links) > 20
    assert [link for link in links if not leads_somewhere(link, page=page)] == []
    assert anchors(page)


@BOTH
def test_every_setting_error_and_target_that_it_names_exists(page):
    text = page.read_text(encoding="utf-8")
    [table] = re.findall(r"^\| `error` \|.*?\n\n", text, re.MULTILINE | re.DOTALL)

    settings = {*re.findall(r"AUTH_SERVICE__\w+", text)} - {"AUTH_SERVICE__JWT_ISUER"}  # the misspelt one of its example
    assert settings <= settings_that_are_read() | {f"{name}_FILE" for name in settings_that_are_read()}
    verifier = "".join(path.read_text(encoding="utf-8") for path in (EXAMPLES / "token-verifier/authserver_verifier").glob("*.py"))
    assert {*re.findall(r"AUTH_(?!SERVICE)\w+", text)} <= {*re.findall(r'"(AUTH_\w+)"', verifier)}
    assert {*re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)} - {"error"} <= {each.error for each in refusals(OAuthError)}
    assert {*re.findall(r"`make (\w+)`", text)} <= make_targets()


# --- Shell ----------------------------------------------------------------------------------------


def test_the_lines_of_shell_run_one_after_the_other(demo):
    script = STRICT + "".join(block.at(demo.base_url) for block in blocks_of(ENGLISH, "sh"))

    done = subprocess.run(
        ["bash"],
        input=script,
        env=clean_environment(no_proxy="localhost"),
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert '"username":"user"' in done.stdout.replace(" ", "")
    assert f"'iss': '{demo.base_url}'" in done.stdout


# --- Python ---------------------------------------------------------------------------------------


class World:
    """What the runs below need besides a block."""

    def __init__(self, demo, capsys, monkeypatch, folder):
        self.demo, self.capsys, self.monkeypatch, self.folder = demo, capsys, monkeypatch, folder

    def run(self, block):
        """Gives the names that the block made."""
        namespace = {"__name__": "guide"}
        exec(compile(block.at(self.demo.base_url), block.title, "exec"), namespace)  # noqa: S102 - it is the guide that is tested
        return namespace

    def printed(self):
        return self.capsys.readouterr().out

    def token(self, scope="api:read api:write"):
        return sign_in(self.demo.base_url, scope=scope)["access_token"]


def run_a_sign_in(world, block):
    made = world.run(block)

    assert world.printed().startswith("[")
    from authserver_client import AuthError

    with pytest.raises(AuthError, match="invalid_grant"):
        made["auth"].access_token()  # nobody is signed in any more


def run_coroutines(world, block):
    world.run(block)

    assert world.printed().count("Hello, user ") == 5


def run_what_goes_wrong(world, block):
    world.run(block)

    assert re.fullmatch(r"Wrong user name or password\. Staff can look up \w{16}\.\n", world.printed())


def run_a_verifier(world, block):
    made = world.run(block)

    assert re.fullmatch(r"[0-9a-f-]{36}", made["user_of"](world.token()))
    with pytest.raises(SystemExit, match="refused: "):
        made["user_of"](world.token()[:-4] + "AAAA")


def run_fastapi(world, block):
    [environment] = [env for env in blocks_of(ENGLISH, "env") if "AUTH_ISSUER" in env.text]
    for name, value in dotenv_values(stream=io.StringIO(environment.at(world.demo.base_url))).items():
        world.monkeypatch.setenv(name, value)

    with TestClient(world.run(block)["app"]) as api:
        answers = [api.get("/api/v1/reports", headers=bearer(token)) for token in (world.token(), world.token("api:write"), "none")]

    assert [answer.status_code for answer in answers] == [200, 403, 401]
    assert answers[0].json()["scopes"] == ["api:read", "api:write"]
    assert answers[2].headers["WWW-Authenticate"].startswith("Bearer ")


ASK_A_VIEW = """
from rest_framework.test import APIRequestFactory
ask = APIRequestFactory().get
answers = [Reports.as_view()(ask("/", HTTP_AUTHORIZATION=f"Bearer {token}")) for token in (%(good)r, %(narrow)r, "none")]
print([answer.status_code for answer in answers], answers[0].data)
"""


def run_django_rest_framework(world, block):
    """Its two blocks are settings and a view, in a project of their own."""
    settings, view = (each.text for each in blocks_of(ENGLISH, "python") if each.title == block.title)
    start = "import django\nfrom django.conf import settings\nsettings.configure(REST_FRAMEWORK=REST_FRAMEWORK)\ndjango.setup()\n"
    ask = ASK_A_VIEW % {"good": world.token(), "narrow": world.token("api:write")}
    environment = clean_environment(AUTH_ISSUER=world.demo.base_url, PYTHONPATH=":".join(map(str, PACKAGES)), no_proxy="localhost")

    said = run([sys.executable, "-c", settings + start + view + ask], cwd=world.folder, environment=environment)

    assert re.fullmatch(r"\[200, 403, 401\] \{'user_id': '[0-9a-f-]{36}'\}\n", said)


def run_a_file_of_tokens(world, block):
    world.monkeypatch.setenv("HOME", str(world.folder))

    world.run(block)

    [kept] = world.folder.glob(".config/my-tool/tokens.json")
    assert kept.stat().st_mode & 0o777 == 0o600


def run_a_test(world, block):
    for name, made in world.run(block).items():
        if name.startswith("test_"):
            asyncio.run(made()) if asyncio.iscoroutinefunction(made) else made()
            world.ran = name
    assert world.ran == "test_full_auth_flow"


RUNS = {
    "Sign in and call": run_a_sign_in,
    "With coroutines": run_coroutines,
    "What can go wrong": run_what_goes_wrong,
    "Verifying tokens in a backend": run_a_verifier,
    "FastAPI": run_fastapi,
    "Django REST framework": run_django_rest_framework,
    "1. Keep tokens where they are safe": run_a_file_of_tokens,
    "Integration tests": run_a_test,
}


def test_the_python_of_every_section_has_its_run():
    titles = [block.title for block in blocks_of(ENGLISH, "python")]

    assert {*titles} == RUNS.keys()
    assert [title for title in {*titles} if titles.count(title) > 1] == ["Django REST framework"]


@pytest.mark.parametrize("title", RUNS)
def test_the_python_runs(title, demo, capsys, monkeypatch, tmp_path):
    block = next(block for block in blocks_of(ENGLISH, "python") if block.title == title)

    RUNS[title](World(demo, capsys, monkeypatch, tmp_path), block)


# --- Dart -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", blocks_of(ENGLISH, "dart"), ids=lambda block: block.title)
def test_the_dart_stands_in_the_client(block):
    sources = {path: squeezed(path.read_text(encoding="utf-8")) for path in (EXAMPLES / "dart-client").rglob("*.dart")}

    assert [path for path, source in sources.items() if squeezed(block.text) in source] != []


def test_the_dart_of_the_page_signs_in_as_its_shell_does():
    [shell] = [block.text for block in blocks_of(ENGLISH, "sh") if block.title == "1. Get tokens"]

    assert {*re.findall(r"-d '?(\w+)=", shell)} == constants(EXAMPLES / "dart-client/lib/src/requests.dart")["signIn"].form.keys()


@BOTH
def test_the_messages_of_the_web_socket_are_those_of_the_client(page):
    text, source = page.read_text(encoding="utf-8"), (EXAMPLES / "dart-client/lib/src/web_socket_service.dart").read_text(encoding="utf-8")
    [client] = [json.loads(each) for each in re.findall(r"`(\{.*?\})`", text) if 'authenticate"' in each]

    assert client.keys() == constants(EXAMPLES / "dart-client/lib/src/requests.dart")["authenticate"].keys()
    assert {*re.findall(r"\b4\d{3}\b", FENCE.sub("", text))} == {*re.findall(r"\b4\d{3}\b", source)}


@pytest.mark.parametrize("block", blocks_of(ENGLISH, "yaml"), ids=lambda block: block.title)
def test_the_yaml_is_that_of_the_client(block):
    pubspec = yaml.safe_load((EXAMPLES / "dart-client/flutter/pubspec.yaml").read_text(encoding="utf-8"))

    assert yaml.safe_load(block.text).items() <= pubspec.items()


def squeezed(text):
    return "".join(text.split())
