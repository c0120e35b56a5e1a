"""Requests made from the OpenAPI document, right and wrong ones; SCHEMA_EXAMPLES makes it more, and others each time."""

import json
import os
import subprocess
import sys

import httpx
import pytest

from tests.e2e.admin import admin_token
from tests.openapi import closed

EXAMPLES = os.environ.get("SCHEMA_EXAMPLES", "10")
# Without: the same ones each time, so that what a change broke is told from what nobody had come upon.
SEED = () if "SCHEMA_EXAMPLES" in os.environ else ("--seed", "1")
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
FORM = {
    "grant_type": "password",
    "username": "test",
    "password": "test123",
    "client_id": "test-client",
    "scope": "api:read api:write auth:account",
}
# Elsewhere the header is for the client, and the form names one.
CONFIGURATION = """
[[operations]]
include-path-regex = "^/api/v1/(me|sessions)|^/oauth/verify"
headers = {{ Authorization = "Bearer {token}" }}

[[operations]]
include-path-regex = "^/api/v1/admin/"
headers = {{ Authorization = "Bearer {admin_token}" }}
"""


@pytest.mark.checklist(8, 13, 110)
def test_every_answer_is_as_described_whatever_is_asked(start_server, tmp_path, capsys):
    server = start_server(
        AUTH_SERVICE__ENABLE_RATE_LIMITING="false",  # or the ceilings answer, and nothing behind them
        AUTH_SERVICE__ACCESS_TOKEN_LIFETIME="7200",
    )
    token = httpx.post(f"{server.base_url}/oauth/token", data=FORM).json()["access_token"]
    configuration, description = tmp_path / "schemathesis.toml", tmp_path / "openapi.json"
    configuration.write_text(CONFIGURATION.format(token=token, admin_token=admin_token(server)))
    description.write_text(json.dumps(closed(httpx.get(f"{server.base_url}/api/openapi.json").json())))

    run = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(configuration), "run", str(description)),
            *("--url", server.base_url, "--max-examples", EXAMPLES, *SEED, "--checks", CHECKS, "--no-color"),
        ],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )

    with capsys.disabled():
        print(f"\nschemathesis: {' '.join(run.stdout.partition('Test cases:')[2].split()[:4])} with {EXAMPLES} examples for each endpoint")
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    assert "Traceback" not in server.output()
