"""Requests made from a description of the endpoints, right and wrong ones; SCHEMA_EXAMPLES makes it more."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

DESCRIPTION = Path(__file__).parent / "openapi.json"
EXAMPLES = os.environ.get("SCHEMA_EXAMPLES", "150")
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.mark.checklist(8, 13, 110)
def test_every_answer_is_of_the_described_kind_whatever_is_asked(server, tmp_path, capsys):
    form = {"grant_type": "password", "username": "test", "password": "test123", "client_id": "test-client"}
    token = httpx.post(f"{server.base_url}/oauth/token", data=form).json()["access_token"]

    run = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", str(DESCRIPTION), "--url", server.base_url),
            *("--max-examples", EXAMPLES, "--checks", CHECKS, "--header", f"Authorization: Bearer {token}", "--no-color"),
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
