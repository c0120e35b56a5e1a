"""deploy/systemd: systemd understands the units, the server starts with what they give it, and may do little else."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.container.dockerfile import Config, parse
from tests.container.operations import PAGE, blocks, paste, paste_by_hand
from tests.e2e.nginx import need
from tests.e2e.servers import ROOT, seconds_to_end
from tests.project.test_docs import settings_that_are_read, start_with

FOLDER = ROOT / "deploy" / "systemd"
CHECKOUT = "/srv/authserver"
UNITS = ["authserver", "authserver-migrate"]
MOST_EXPOSED = 12  # of 100, by systemd's own measure: what is left is that it talks over the network
# What differs is what each of them does, and when.
OWN = {
    "Type",
    "ExecStart",
    "Restart",
    "RestartSec",
    "KillMode",
    "TimeoutStopSec",
    "TimeoutStartSec",
    "OOMPolicy",
    "LimitNOFILE",
    "SystemCallFilter",
}

Lines = list[tuple[str, str]]


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkout of somebody who has pasted what the page says, with a stand-in for what they install."""
    need("openssl", "systemd-analyze")
    folder = tmp_path_factory.mktemp("checkout")
    paste_by_hand(folder)
    (folder / ".venv/bin").mkdir(parents=True)
    for program in ("python", "gunicorn"):
        (folder / ".venv/bin" / program).symlink_to("/bin/true")
    for unit in UNITS:
        text = (FOLDER / f"{unit}.service").read_text(encoding="utf-8")
        (folder / f"{unit}.service").write_text(text.replace(CHECKOUT, str(folder)), encoding="utf-8")
    return folder


# --- systemd ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_understands_every_line(operator: Path, unit: str) -> None:
    done = analyze("verify", "--man=no", str(operator / f"{unit}.service"))

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_finds_little_that_the_server_may_do(operator: Path, unit: str) -> None:
    done = analyze("security", "--offline=true", f"--threshold={MOST_EXPOSED}", str(operator / f"{unit}.service"))

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("unit", UNITS)
def test_the_drop_in_of_the_page_is_understood_and_names_a_setting(operator: Path, tmp_path: Path, unit: str) -> None:
    [drop_in] = blocks("ini", heading="With systemd")
    folder = tmp_path / f"{unit}.service.d"
    folder.mkdir()
    (folder / "override.conf").write_text(drop_in, encoding="utf-8")
    shutil.copy(operator / f"{unit}.service", tmp_path)

    done = analyze("verify", "--man=no", str(tmp_path / f"{unit}.service"))

    assert (done.returncode, done.stderr) == (0, "")
    assert {name.removesuffix("_FILE") for name in re.findall(r"^Environment=(\w+)=", drop_in, re.MULTILINE)} <= settings_that_are_read()


def test_the_page_has_both_units_let_out() -> None:
    page = PAGE.read_text(encoding="utf-8")

    assert re.findall(r"`systemctl edit ([^`]+)`", page) == [" ".join(UNITS)]


@pytest.mark.parametrize(
    ("migrates", "acts"), [("true", ["start authserver-migrate", "restart authserver"]), ("false", ["start authserver-migrate"])]
)
def test_the_server_is_not_restarted_when_the_migration_fails(tmp_path: Path, migrates: str, acts: list[str]) -> None:
    _, by_hand = blocks("sh", heading="Upgrading")
    script = f'systemctl() {{ echo "$*" >> acts; [ "$1" != start ] || {migrates}; }}\n{by_hand.splitlines()[-1]} || true'

    paste(script, folder=tmp_path)

    assert (tmp_path / "acts").read_text(encoding="utf-8").splitlines() == acts


# --- What the server is given ----------------------------------------------------------------------


@pytest.mark.parametrize("unit", UNITS)
def test_the_server_starts_with_what_the_unit_gives_it(operator: Path, unit: str) -> None:
    credentials = dict(value.split(":") for value in values(unit, "LoadCredential"))
    variables = variables_of(unit)

    settings = start_with(
        {
            name: re.sub(r"^%d/(.+)$", lambda found: credentials[found[1]], value).replace(CHECKOUT, str(operator))
            for name, value in variables.items()
        }
    )

    assert settings["ENVIRONMENT"] == "production"
    assert settings["JWT_ISSUER"] == "https://auth.example.com"
    assert settings["DATABASES"]["default"]["HOST"] == "127.0.0.1"
    assert settings["SECRET_KEY"] == (operator / "secrets/secret-key").read_text(encoding="utf-8").strip()


@pytest.mark.parametrize("unit", UNITS)
def test_every_credential_is_used_and_every_file_of_a_secret_is_one(operator: Path, unit: str) -> None:
    credentials = dict(value.split(":") for value in values(unit, "LoadCredential"))
    used = {name: value.removeprefix("%d/") for name, value in variables_of(unit).items() if value.startswith("%d/")}

    assert set(used.values()) == credentials.keys()
    assert {name.removesuffix("_FILE") for name in used} <= settings_that_are_read() | {"AUTH_SERVICE__ENV"}
    files = {f"{CHECKOUT}/.env", *(f"{CHECKOUT}/secrets/{path.name}" for path in (operator / "secrets").iterdir())}
    assert set(credentials.values()) == files


def test_the_commands_are_those_of_the_image_and_of_compose() -> None:
    config = Config()
    config.take(parse((ROOT / "Dockerfile").read_text(encoding="utf-8"))[-1].steps[-1])
    [command], steps = values("authserver", "ExecStart"), values("authserver-migrate", "ExecStart")

    assert command.removeprefix(f"{CHECKOUT}/.venv/bin/").split() == config.command
    compose = " && ".join(step.removeprefix(f"{CHECKOUT}/.venv/bin/") for step in steps)
    assert f"[sh, -c, {compose}]" in (ROOT / "compose.yaml").read_text(encoding="utf-8")


# --- How it runs -----------------------------------------------------------------------------------


def test_the_server_is_given_longer_to_end_than_it_takes() -> None:
    assert int(*values("authserver", "TimeoutStopSec")) >= seconds_to_end() + 5
    assert values("authserver", "KillMode") == ["mixed"]  # otherwise every process would be told to end at once


def test_threads_that_hash_passwords_may_stand_back() -> None:
    """Refused, it would be the end of every sign-in by password (accounts/hash_slots.py)."""
    assert values("authserver", "SystemCallFilter")[-1] == "setpriority"
    assert "os.setpriority(" in (ROOT / "accounts/hash_slots.py").read_text(encoding="utf-8")


def test_both_units_have_the_same_rights() -> None:
    server, migrate = ([line for line in lines_of(unit) if line[0] not in OWN] for unit in UNITS)
    rights = server[server.index(("DynamicUser", "yes")) :]

    assert rights == migrate[migrate.index(("DynamicUser", "yes")) :][: len(rights)]
    assert dict(rights) | {"NoNewPrivileges": "yes", "ProtectSystem": "strict", "CapabilityBoundingSet": ""} == dict(rights)


# --- What the tests need ---------------------------------------------------------------------------


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", "--no-pager", *words], capture_output=True, text=True, check=False)


def lines_of(unit: str) -> Lines:
    """What stands under [Service]."""
    text = (FOLDER / f"{unit}.service").read_text(encoding="utf-8")
    service = text.split("[Service]\n")[1].split("\n[")[0]
    return [(name, value) for name, _, value in (line.partition("=") for line in service.splitlines() if line and not line.startswith("#"))]


def values(unit: str, name: str) -> list[str]:
    return [value for key, value in lines_of(unit) if key == name]


def variables_of(unit: str) -> dict[str, str]:
    found = dict(value.split("=", 1) for value in values(unit, "Environment"))
    return {name: value for name, value in found.items() if name.startswith("AUTH_SERVICE__")}
