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

from tests.e2e.admin import admin_token
from tests.e2e.calls import sign_in
from tests.e2e.servers import ISSUER, ROOT, Server

DOCUMENTED_URL = "http://localhost:8003"
# A refusal ends the script: nobody prints an example that is refused.
STRICT = 'set -euo pipefail\ncurl() { command curl --silent --show-error --fail-with-body --max-time 20 "$@"; }\n'


# Where a line needs the code from a mail, a person looks it up; each is good once.
READS_MAILS = r"""
next_code() {
  for _ in $(seq 200); do
    for code in $(grep -rhoE '#[A-Za-z0-9_-]{43}' "$MAILS" | cut -c2- | sort -u); do
      grep -qxF -e "$code" "$MAILS/used" || { echo "$code" | tee -a "$MAILS/used"; return; }
    done
    sleep 0.1
  done
  echo "no mail came" >&2
  return 1
}
trap 'case $BASH_COMMAND in *"\$CODE"*) CODE=$(next_code) ;; esac' DEBUG
"""
# What the examples put into a path, and how the path calls it.
NAMED = {
    **dict.fromkeys(("SESSION_ID", "USER_ID", "LOCKOUT_ID"), "id"),
    "USER_SESSION_ID": "session_id",
    "CLIENT_ID": "client_id",
    "KID": "kid",
    "ROLE": "name",
}
METRICS_TOKEN = "the-metrics-of-the-documentation"
REGISTRATION_TOKEN = "the-registration-of-the-documentation"


def test_every_example_of_the_endpoints_page_is_answered(start_server: Callable[..., Server], tmp_path: Path) -> None:
    (tmp_path / "used").touch()
    server = start_server(
        AUTH_SERVICE__EMAIL_URL=f"file:///{tmp_path}",
        AUTH_SERVICE__REGISTRATION="open",
        AUTH_SERVICE__METRICS_TOKEN=METRICS_TOKEN,
        AUTH_SERVICE__CLIENT_REGISTRATION_TOKEN=REGISTRATION_TOKEN,
    )
    # The secret of the confidential client is seen nowhere else.
    [secret] = re.findall(r"shown once: (\S+)", server.bootstrap_output)
    script = READS_MAILS + "".join(blocks("docs/endpoints.md", "sh"))

    given = {
        "CLIENT_SECRET": secret,
        "METRICS_TOKEN": METRICS_TOKEN,
        "REGISTRATION_TOKEN": REGISTRATION_TOKEN,
        "ADMIN_TOKEN": admin_token(server),
        "MAILS": str(tmp_path),
    }

    done = paste(script, server=server, **given)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count('"access_token"') >= 4
    assert "auth_token_requests_total{" in done.stdout
    assert sign_in_as("user@example.com", "a long walk by the sea", server=server) == 200
    assert sign_in_as("tess@example.com", "a long walk by the sea", server=server) == 200


def test_every_endpoint_of_machines_has_an_example_that_is_run() -> None:
    pages = paths_under("docs/endpoints.md", "Pages") | {
        "/api/docs",
        "/oauth/authorize/resume",
        "/oauth/authorize/decision",
        "/oauth/logout",
        "/oauth/logout/confirmed",
    }
    described = re.findall(
        r"^### (?:GET|POST|PUT|PATCH|DELETE) (/\S*)$", (ROOT / "docs/endpoints.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    run = {
        re.sub(r"\$([A-Z_]+)", lambda found: f"{{{NAMED[found[1]]}}}", path)
        for block in blocks("docs/endpoints.md", "sh")
        for path in re.findall(rf"{DOCUMENTED_URL}(/[^\s\"?]*)", block)
    }

    assert {*described} - pages == run


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


def paths_under(page: str, title: str) -> set[str]:
    """The paths that have a heading under this one."""
    [text] = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return {*re.findall(r"^### \w+ (/\S*)$", text, re.MULTILINE)}


def sign_in_as(username: str, password: str, *, server: Server) -> int:
    form = {"grant_type": "password", "client_id": "test-client", "username": username, "password": password}
    return httpx.post(f"{server.base_url}/oauth/token", data=form).status_code


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
