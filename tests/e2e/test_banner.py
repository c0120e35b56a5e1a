"""What the server prints at its start works when it is pasted."""

import json
import os
import re
import shutil

import httpx
import pytest

from tests.e2e.calls import SIGN_IN_FORM
from tests.e2e.servers import ROOT, clean_environment, run


def test_the_command_that_is_printed_gets_a_token_when_it_is_pasted(server):
    need("curl")
    command = find(r"^Get a token:\n(.+?)\n\n", server)

    said = run(["bash", "-c", command], cwd=ROOT, environment=clean_environment())

    assert json.loads(said)["token_type"] == "Bearer"


def test_every_user_that_is_printed_can_sign_in(server, http):
    users = re.findall(r"^  (\S+@\S+) / (\S+)$", find(r"^Demo users:\n(.+?)\n\n", server), re.MULTILINE)

    assert [name for name, _ in users] == ["user@example.com", "test@example.com"]
    for name, password in users:
        assert http.post("/oauth/token", data=SIGN_IN_FORM | {"username": name, "password": password}).status_code == 200


def test_every_address_that_is_printed_answers(server, http):
    banner = find(r"^(authserver is ready .+?^Health [^\n]+)$", server)
    addresses = set(re.findall(r"http://localhost:\d+/[\w./-]+", banner))

    assert len(addresses) == 4
    for address in addresses - {f"{server.base_url}/oauth/token"}:
        assert http.get(address, follow_redirects=True).status_code == 200


def test_the_admin_signs_in_with_the_password_that_is_printed(server, http):
    password = find(r"^Admin [^\n]* admin / (\S+)$", server)

    response = sign_in_to_admin(http, password)

    assert response.status_code == 302
    assert response.headers["Location"] == "/admin/"
    index = http.get("/admin/", follow_redirects=True)
    assert index.status_code == 200
    assert "Your second step" in index.text  # which a password alone does not replace


def test_the_admin_does_not_sign_in_with_another_password(http):
    response = sign_in_to_admin(http, "not the password")

    assert response.status_code == 200
    assert http.get("/admin/").status_code == 302


def sign_in_to_admin(http, password):
    form = http.get("/sign-in", params={"next": "/admin/"})
    csrf_token = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', form.text)[0]
    fields = {"login": "admin", "password": password, "csrfmiddlewaretoken": csrf_token, "next": "/admin/"}
    return http.post("/sign-in", data=fields, headers={"Origin": str(http.base_url).rstrip("/")})


def find(pattern, server):
    """What the pattern's group matches in the output of the server."""
    found = re.search(pattern, server.output(), re.MULTILINE | re.DOTALL)
    assert found is not None, f"{pattern} is not in the output:\n{server.output()}"
    return found[1]


def need(program):
    if shutil.which(program) is None:
        reason = f"{program} is not installed"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)


def test_in_json_every_line_of_the_log_is_an_object_gunicorns_own_too(start_server):
    server = start_server(AUTH_SERVICE__LOG_FORMAT="json", AUTH_SERVICE__MASTER_KEY="of the older service")
    httpx.post(f"{server.base_url}/oauth/token", data={"grant_type": "password"})

    lines = [line for line in server.output().splitlines() if line.startswith("{")]
    others = [line for line in server.output().splitlines() if "AUTH_SERVICE__MASTER_KEY" in line and not line.startswith("{")]

    assert {json.loads(line)["logger"] for line in lines} >= {"gunicorn.error", "authserver.refusals"}
    assert others == []
