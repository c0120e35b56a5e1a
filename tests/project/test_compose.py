"""compose.yaml, and what docs/operations.md has people paste for it: the server starts with it, and nothing is left open."""

import ipaddress
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from deploy.gateway_configuration import TEMPLATES, render
from tests.container import compose
from tests.container.dockerfile import Config, parse
from tests.container.operations import blocks, paste, paste_for_compose
from tests.e2e.nginx import find_program, make_certificate, need
from tests.e2e.servers import seconds_to_end
from tests.project.test_docs import settings_that_are_read, start_with

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of somebody who has pasted what the page says."""
    need("openssl")
    folder = tmp_path_factory.mktemp("operator")
    paste_for_compose(folder)
    return folder


# --- compose.yaml --------------------------------------------------------------------------------


@pytest.mark.parametrize("service", ["server", "migrate"])
def test_compose_gives_the_server_settings_that_exist(operator: Path, service: str) -> None:
    names = compose.load(operator)[service].environment.keys()
    files = {name for name in names if name.endswith("_FILE") and name.removesuffix("_FILE") in settings_that_are_read()}

    assert names - files - settings_that_are_read() == set()
    assert len(files) == 4


def test_the_server_starts_with_what_compose_gives_it(operator: Path) -> None:
    settings = start_with(as_on_this_machine(operator))

    assert settings["ENVIRONMENT"] == "production"
    assert settings["REQUIRE_HTTPS"] is True
    assert settings["DATABASES"]["default"]["HOST"] == "db"
    assert [str(network) for network in settings["TRUSTED_PROXIES"]] == [f"{compose.gateway()}/32", f"{address_of('gateway')}/32"]
    assert settings["PORT"] == 8003


def test_a_laptop_is_served_without_https(operator: Path, tmp_path: Path) -> None:
    shutil.copytree(operator / "secrets", tmp_path / "secrets")
    first, _ = blocks("sh", heading="Secrets and settings")
    for block in (first, *blocks("sh", heading="On a laptop")):
        paste(block, folder=tmp_path)

    settings = start_with(as_on_this_machine(tmp_path))

    assert settings["REQUIRE_HTTPS"] is False
    assert settings["JWT_ISSUER"] == "http://localhost:8003"


def test_what_the_person_sets_reaches_the_server_unless_the_file_needs_it_otherwise(operator: Path, tmp_path: Path) -> None:
    shutil.copytree(operator, tmp_path, dirs_exist_ok=True)
    paste(
        "echo AUTH_SERVICE__LOG_LEVEL=WARNING >> .env; echo ENVIRONMENT=development >> .env; echo WEB_CONCURRENCY=7 >> .env",
        folder=tmp_path,
    )

    settings = start_with(as_on_this_machine(tmp_path))

    assert settings["LOG_LEVEL"] == "WARNING"
    assert settings["ENVIRONMENT"] == "production"
    assert settings["WEB_CONCURRENCY"] == 7


def test_without_an_issuer_compose_says_where_to_read_on(tmp_path: Path) -> None:
    with pytest.raises(compose.MissingError, match=r"AUTH_SERVICE__JWT_ISSUER: .*docs/operations\.md"):
        compose.load(tmp_path)


def test_every_service_runs_without_privileges_in_a_tree_that_it_cannot_write_to(operator: Path) -> None:
    for service in compose.load(operator).values():
        assert service.values["read_only"] is True, service.name
        assert service.values["cap_drop"] == ["ALL"], service.name
        assert service.values["security_opt"] == ["no-new-privileges:true"], service.name
        assert "privileged" not in service.values, service.name
        assert service.values.get("user", "") not in {"root", "0"}, service.name


def test_no_secret_of_the_file_is_a_variable(operator: Path) -> None:
    services = compose.load(operator).values()

    assert [name for service in services for name in service.environment if "PASSWORD" in name and not name.endswith("_FILE")] == []
    assert {name for service in services for name in service.values.get("secrets", [])} == compose.secret_files().keys()


def test_what_a_service_may_take_of_the_machine_is_bounded(operator: Path) -> None:
    services = compose.load(operator)

    for name in ("server", "migrate", "redis"):
        assert re.fullmatch(r"\d+m", services[name].values["mem_limit"]), name
        assert [each for each in services[name].values["tmpfs"] if ":size=" not in each] == []
    assert [name for name in ("server", "migrate", "db", "redis") if "pids_limit" not in services[name].values] == []
    [most] = re.findall(r"(\d+)mb", str(services["redis"].values["command"]))
    assert int(services["redis"].values["mem_limit"].removesuffix("m")) > int(most)


def test_only_the_server_and_its_gateway_can_be_reached_and_only_from_this_machine(operator: Path) -> None:
    published = {name: service.values["ports"] for name, service in compose.load(operator).items() if "ports" in service.values}

    assert published == {"server": ["127.0.0.1:8003:8003"], "gateway": ["127.0.0.1:8080:8080", "127.0.0.1:8443:8443"]}


def test_the_server_waits_for_its_migrations_and_for_what_it_asks(operator: Path) -> None:
    services = compose.load(operator)

    assert services["server"].values["depends_on"] == {
        "migrate": {"condition": "service_completed_successfully"},
        "db": {"condition": "service_healthy"},
        "redis": {"condition": "service_healthy"},
    }
    assert services["migrate"].values["depends_on"] == {"db": {"condition": "service_healthy"}}
    assert all("test" in services[name].values["healthcheck"] for name in ("db", "redis"))
    assert "healthcheck" not in services["server"].values  # the image has one


def test_every_name_in_compose_is_of_the_file_itself() -> None:
    document = yaml.safe_load(read("compose.yaml"))
    services: list[dict[str, Any]] = list(document["services"].values())

    assert {name for service in services for name in service.get("secrets", [])} == document["secrets"].keys()
    assert {name for service in services for name in service.get("depends_on", {})} <= document["services"].keys()
    volumes = {volume.split(":")[0] for service in services for volume in service.get("volumes", [])}
    assert {volume for volume in volumes if not volume.startswith("./")} == document["volumes"].keys()
    assert [
        volume for volume in volumes if volume.startswith("./") and not volume.startswith("./secrets/") and not (ROOT / volume).is_dir()
    ] == []
    builds = [service["build"] for service in services if "build" in service]
    assert {build if isinstance(build, str) else build["context"] for build in builds} == {".", "examples"}


def test_no_image_is_named_with_a_registry(operator: Path) -> None:
    files = ("Dockerfile", "deploy/resource-server.Dockerfile")
    names = {stage.base for file in files for stage in parse(read(file))} | {
        service.values["image"] for service in compose.load(operator).values()
    }

    assert {name for name in names if "/" in name or "." in name.split(":")[0]} == set()


def test_compose_waits_longer_for_the_end_of_the_server_than_the_server_takes(operator: Path) -> None:
    assert int(compose.load(operator)["server"].values["stop_grace_period"].removesuffix("s")) >= seconds_to_end() + 5


# --- The gateway and what else comes with it (--profile gateway) ------------------------------------


def test_without_its_profile_nothing_of_the_gateway_is_started(operator: Path) -> None:
    profiles = {name: service.values.get("profiles") for name, service in compose.load(operator).items()}

    assert {name for name, each in profiles.items() if each is None} == {"server", "migrate", "db", "redis"}
    assert {name for name, each in profiles.items() if each == ["gateway"]} == {"gateway", "resource-server", "legacy-service"}


@pytest.mark.parametrize("server", ["plain", "tls"])
def test_nginx_takes_the_configuration_that_compose_gives_it(operator: Path, tmp_path: Path, server: str) -> None:
    need("nginx", "openssl")
    shutil.copytree(operator, tmp_path, dirs_exist_ok=True)
    paste(f"echo GATEWAY_SERVER={server} >> .env", folder=tmp_path)
    make_certificate(tmp_path, host="localhost")
    values = {name: value for name, value in compose.load(tmp_path)["gateway"].environment.items() if name.startswith("GATEWAY_")}
    # The names of the network, and the folders of the container, as they are on this machine.
    here = {name: re.sub(r"^[a-z-]+:", "127.0.0.1:", value) for name, value in values.items()} | {"GATEWAY_TLS": str(tmp_path)}
    here |= {name: str(tmp_path) for name, value in values.items() if value == "/tmp"}  # noqa: S108

    render(tmp_path, here)
    command = [str(find_program("nginx")), "-t", "-e", "stderr", "-c", str(tmp_path / "nginx.conf")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert values.keys() == set(re.findall(r"\$\{(GATEWAY_\w+)\}", "".join(path.read_text() for path in TEMPLATES.glob("*.template"))))


def test_the_gateway_finds_who_listens_where_it_asks(operator: Path) -> None:
    services = compose.load(operator)
    asked = services["gateway"].environment
    [resource_server] = parse(read("deploy/resource-server.Dockerfile"))
    config = Config()
    for step in resource_server.steps:
        if step.instruction not in {"COPY", "RUN"}:
            config.take(step)

    assert asked["GATEWAY_AUTHSERVER"] == f"server:{services['server'].environment['AUTH_SERVICE__PORT']}"
    assert asked["GATEWAY_LEGACY_SERVICE"] == f"legacy-service:{services['legacy-service'].environment['LEGACY_PORT']}"
    assert asked["GATEWAY_RESOURCE_SERVER"] == f"resource-server:{config.command[config.command.index('--port') + 1]}"
    assert config.user.split(":")[0] not in {"0", "root"}
    assert services["gateway"].values["depends_on"].keys() == {"server", "resource-server", "legacy-service"}
    assert ipaddress.ip_address(address_of("gateway")) in compose.network()


def test_the_image_of_the_resource_server_is_made_of_what_is_there() -> None:
    [stage] = parse(read("deploy/resource-server.Dockerfile"))
    copied = [step.arguments.split()[0] for step in stage.steps if step.instruction == "COPY"]

    assert len(copied) == 2
    assert [name for name in copied if not (ROOT / "examples" / name / "pyproject.toml").is_file()] == []


def test_a_laptop_has_a_gateway_without_https(operator: Path, tmp_path: Path) -> None:
    shutil.copytree(operator / "secrets", tmp_path / "secrets")
    first, _ = blocks("sh", heading="Secrets and settings")
    paste(first, folder=tmp_path)
    [settings] = [
        block for block in re.findall(r"^```sh\n(.*?)^```$", read("deploy/nginx/README.md"), re.M | re.S) if "AUTH_JWKS_URL" in block
    ]
    paste(settings, folder=tmp_path)

    services = compose.load(tmp_path)

    settings_of_server = start_with(as_on_this_machine(tmp_path))
    assert settings_of_server["REQUIRE_HTTPS"] is False
    assert settings_of_server["JWT_ISSUER"] == services["resource-server"].environment["AUTH_ISSUER"]
    jwks = urlsplit(services["resource-server"].environment["AUTH_JWKS_URL"])
    assert (jwks.hostname, str(jwks.port)) == ("gateway", services["gateway"].environment["GATEWAY_HTTP"])
    assert jwks.hostname in settings_of_server["ALLOWED_HOSTS"]


# --- Secrets -------------------------------------------------------------------------------------


def test_the_secrets_are_where_compose_looks_for_them_and_closed_to_other_users(operator: Path) -> None:
    files = {operator / name for name in compose.secret_files().values()}

    assert {*(operator / "secrets").iterdir()} == files
    password = (operator / "secrets/db-password").read_text().strip()
    assert (operator / "secrets/db-url").read_text() == f"postgresql://authserver:{password}@db:5432/authserver\n"
    assert {len(file.read_text().strip()) for file in files - {operator / "secrets/db-url"}} == {64}
    assert {mode_of(file) for file in files} == {0o644}  # a container reads them as a user of its own
    assert mode_of(operator / "secrets") == 0o700
    assert mode_of(operator / ".env") == 0o600


def test_making_the_secrets_again_leaves_them_as_they_are(operator: Path, tmp_path: Path) -> None:
    shutil.copytree(operator, tmp_path, dirs_exist_ok=True)
    before = {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    (tmp_path / "secrets" / "token-keys").unlink()

    for heading in ("Secrets and settings", "In containers"):
        paste(blocks("sh", heading=heading)[0], folder=tmp_path)

    after = {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert {path.name for path in before if after[path] != before[path]} == {"token-keys"}


def test_git_takes_neither_the_secrets_nor_the_file_of_the_settings_nor_what_the_page_has_people_write() -> None:
    names = [
        ".env",
        *compose.secret_files().values(),
        "authserver.dump",
        "authserver.dump.time.new",
        "auth.db.backup",
        "auth.db.backup.time",
    ]
    names += ["audit-2026-01-31T1200Z.jsonl", "last-day.jsonl", "what-they-did.jsonl"]

    done = subprocess.run(["git", "-c", "safe.directory=*", "check-ignore", *names], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.stdout.split() == names


# --- What the tests need -------------------------------------------------------------------------


def address_of(service: str) -> str:
    networks = yaml.safe_load(read("compose.yaml"))["services"][service]["networks"]
    return str(networks["default"]["ipv4_address"])


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def as_on_this_machine(folder: Path) -> dict[str, str]:
    """The variables of the server, with the secrets where they lie here."""
    variables = compose.load(folder)["server"].environment
    return {name: value.replace("/run/secrets/", f"{folder}/secrets/") for name, value in variables.items()}
