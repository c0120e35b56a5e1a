"""What the documentation tells people to paste works when it is pasted."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from tests.e2e.calls import sign_in
from tests.e2e.servers import ISSUER, ROOT, Server

DOCUMENTED_URL = "http://localhost:8003"
# A refusal ends the script: nobody prints an example that is refused.
STRICT = 'set -euo pipefail\ncurl() { command curl --silent --show-error --fail-with-body --max-time 20 "$@"; }\n'


@pytest.fixture(scope="module")
def demo(start_server: Callable[..., Server]) -> tuple[Server, str]:
    """A server, and what its bootstrap printed: the secret of the confidential client is seen nowhere else."""
    server = start_server()
    return server, server.bootstrap_output


def test_every_example_of_the_endpoints_page_is_answered(demo: tuple[Server, str]) -> None:
    server, printed = demo
    secret = re.findall(r"shown once: (\S+)", printed)
    script = "".join(blocks("docs/endpoints.md", "sh"))

    done = paste(script, server=server, CLIENT_SECRET=secret[0])

    assert done.returncode == 0, done.stdout + done.stderr
    assert script.count("curl ") > 10
    assert done.stdout.count('"access_token"') >= 4


def test_the_two_minutes_of_the_readme_end_with_a_new_pair_of_tokens(server: Server, http: httpx.Client) -> None:
    tokens = sign_in(http)
    script = "".join(block for block in blocks("README.md", "sh") if block.startswith("curl "))

    done = paste(script, server=server, ACCESS_TOKEN=tokens["access_token"], REFRESH_TOKEN=tokens["refresh_token"])

    assert done.returncode == 0, done.stdout + done.stderr
    answers = read_objects(done.stdout)
    assert [sorted(answer) for answer in answers] == [
        sorted(tokens),
        ["email", "id", "name", "roles", "second_factor", "username"],
        sorted(tokens),
    ]
    assert answers[2]["refresh_token"] != tokens["refresh_token"]


def test_the_verifier_of_the_readme_tells_our_tokens_from_others(
    server: Server, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    [block] = blocks("README.md", "python")
    namespace: dict[str, Any] = {}
    token = sign_in(http)["access_token"]
    monkeypatch.setenv("no_proxy", "localhost,127.0.0.1")

    exec(block.replace(f'issuer="{DOCUMENTED_URL}"', f'issuer="{ISSUER}"').replace(DOCUMENTED_URL, server.base_url), namespace)  # noqa: S102 - it is the example that is tested

    assert namespace["claims_of"](token)["client_id"] == "codelab-flutter-app"
    head, claims, signature = token.split(".")
    with pytest.raises(jwt.InvalidTokenError):
        namespace["claims_of"](f"{head}.{claims}.{signature[::-1]}")


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def paste(script: str, *, server: Server, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run lines of shell against this server."""
    if shutil.which("curl") is None:
        pytest.fail("curl is not installed") if os.environ.get("CI") == "true" else pytest.skip("curl is not installed")
    environment = {"PATH": os.environ["PATH"], "HOME": str(Path.home()), "no_proxy": "localhost", "LANG": "C.UTF-8"} | variables
    text = STRICT + script.replace(DOCUMENTED_URL, server.base_url)
    return subprocess.run(["bash"], input=text, env=environment, capture_output=True, encoding="utf-8", timeout=120, check=False)


def read_objects(text: str) -> list[dict[str, Any]]:
    """The JSON objects that stand one after another in a text."""
    decoder, position, objects = json.JSONDecoder(), 0, []
    while position < len(text):
        value, position = decoder.raw_decode(text, position)
        objects.append(value)
        position += len(text[position:]) - len(text[position:].lstrip())
    return objects
