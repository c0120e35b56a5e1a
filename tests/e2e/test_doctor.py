"""manage.py doctor beside a real server: what it sees of it, from inside and from outside."""

import json
import secrets
import subprocess
import sys
import time

import httpx
import pytest

from tests.e2e.servers import ROOT, known_secrets, server_command, serving
from tests.postgres import free_port

OUTSIDE = ("issuer", "key set", "https", "proxy")


def doctor(server, *options, **changed):
    """Its exit code, and its findings by their check: the last of each."""
    code, findings = examined(server, *options, **changed)
    return code, {finding["check"]: finding for finding in findings}


def examined(server, *options, **changed):
    """Its exit code, and all of its findings."""
    command = [sys.executable, "manage.py", "doctor", "--json", *options]
    done = subprocess.run(
        command, cwd=ROOT, env=server.environment | changed, capture_output=True, encoding="utf-8", timeout=120, check=False
    )
    assert "Traceback" not in done.stderr
    for secret in known_secrets(server.folder, server.bootstrap_output, server.environment).values():
        assert secret not in done.stdout + done.stderr
    return done.returncode, json.loads(done.stdout)["findings"]


@pytest.fixture(scope="module")
def seen(own_server):
    """All that it finds of a server that is well, once that has written itself down."""
    give_up_at = time.monotonic() + 30
    while (found := doctor(own_server))[1]["instances"]["level"] != "ok" and time.monotonic() < give_up_at:
        time.sleep(0.5)
    return found


def test_a_server_that_is_well_is_found_well(seen):
    code, findings = seen

    assert code == 0, findings
    assert {finding["level"] for finding in findings.values()} <= {"ok", "warn"}
    assert "1 alive" in findings["instances"]["found"]
    assert findings["limits"]["level"] == "ok"


@pytest.mark.parametrize("check", OUTSIDE)
def test_it_is_looked_at_from_outside_as_its_clients_do(seen, own_server, check):
    finding = seen[1][check]

    assert finding["level"] == "ok"
    assert {"issuer": own_server.base_url, "key set": "2 keys", "proxy": "does not believe"}.get(check, "") in finding["found"]


def test_another_issuer_and_another_secret_are_found(own_server):
    issuer = own_server.base_url.replace("localhost", "127.0.0.1")

    code, findings = doctor(own_server, AUTH_SERVICE__JWT_ISSUER=issuer, AUTH_SERVICE__TOKEN_KEYS=secrets.token_urlsafe(48))

    assert code == 1
    assert (findings["issuer"]["level"], "Not looked at" in findings["issuer"]["found"]) == ("warn", True)  # the last of two
    assert (findings["instances"]["level"], "The secrets" in findings["instances"]["found"]) == ("fail", True)
    assert "proxy" not in findings


def test_a_second_instance_with_other_settings_is_told_by_its_probe_and_found_until_it_ends(own_server, tmp_path):
    port = free_port()
    environment = own_server.environment | {"AUTH_SERVICE__PORT": str(port), "AUTH_SERVICE__JWT_AUDIENCE": "another"}
    command = server_command()
    ready = f"http://localhost:{port}/ready"

    with serving(command, cwd=ROOT, environment=environment, log=tmp_path / "second.log", ready_url=ready):
        give_up_at = time.monotonic() + 30
        while "warnings" not in (told := httpx.get(ready).json()) and time.monotonic() < give_up_at:
            time.sleep(0.2)
        assert (told["status"], told["warnings"]) == ("ok", ["instances_without_redis", "settings_differ"])
        _, during = examined(own_server)
    _, after = examined(own_server)

    assert [finding["level"] for finding in during if "AUTH_SERVICE__JWT_AUDIENCE is not the same" in finding["found"]] == ["warn"]
    assert [finding["level"] for finding in after if finding["check"] == "instances"] == ["ok"]


def test_who_can_choose_its_own_address_is_found(forgiving_server):
    """It trusts this machine as a proxy, and here nothing overwrites what the request says of itself."""
    program = f"""
from django.conf import settings
from oauth.doctor import outside
settings.JWT_ISSUER = {forgiving_server.base_url!r}
for finding in outside.proxy():
    print(finding.level, finding.found)
"""

    assert "fail Who asks can choose its own address" in forgiving_server.manage("shell", "-c", program)
