"""deploy/kubernetes, and what docs/operations.md has people paste for it: what reaches the cluster fits together, and fits the server."""

import ipaddress
import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import call_command
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client as Browser

from tests.container import kustomize
from tests.container.dockerfile import Config, parse
from tests.container.operations import PAGE, blocks, paste
from tests.e2e.nginx import need
from tests.e2e.servers import ROOT, seconds_to_end
from tests.project.test_docs import settings_that_are_read, start_with

FOLDER = ROOT / "deploy" / "kubernetes"
SECRETS = "/run/secrets/authserver"
POD = "10.244.3.17:8003"  # what the kubelet sends as the Host
SPARE_CONNECTIONS = 3  # of PostgreSQL's hundred, for its own administrators
CONNECTIONS_OF_A_PROCESS = 6  # docs/capacity.md
SECONDS_UNTIL_A_DATABASE_IS_GIVEN_UP = 4

Manifest = dict[str, Any]


@pytest.fixture(scope="module")
def manifests() -> list[Manifest]:
    """What reaches the cluster in production."""
    return kustomize.build(FOLDER / "overlays" / "production")


@pytest.fixture(scope="module")
def image() -> Config:
    config = Config()
    for step in parse((ROOT / "Dockerfile").read_text(encoding="utf-8"))[-1].steps:
        if step.instruction not in {"COPY", "RUN", "ENV"}:
            config.take(step)
    return config


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of somebody who has pasted what the page says."""
    need("openssl")
    folder = tmp_path_factory.mktemp("operator")
    paste(blocks("sh", heading="Secrets and settings")[0], folder=folder)
    paste(blocks("sh", heading="In Kubernetes")[0], folder=folder)
    return folder


# --- Settings and secrets --------------------------------------------------------------------------


def test_the_server_starts_with_what_its_pods_are_given(manifests: list[Manifest], operator: Path) -> None:
    variables = settings_of(manifests)

    settings = start_with({name: value.replace(SECRETS, f"{operator}/secrets") for name, value in variables.items()})

    assert settings["ENVIRONMENT"] == "production"
    assert settings["REQUIRE_HTTPS"] is True
    assert settings["DATABASES"]["default"]["HOST"] == "db.example.com"
    assert settings["REDIS_URL"].startswith("rediss://")
    assert settings["EMAIL_HOST"] == "mail.example.com"
    assert settings["METRICS_TOKEN"]


@pytest.mark.parametrize("folder", ["base", "overlays/production"])
def test_every_variable_is_a_setting_and_every_secret_a_file(folder: str) -> None:
    variables = settings_of(kustomize.build(FOLDER / folder))
    files = {name for name in variables if name.endswith("_FILE")}

    assert {name.removesuffix("_FILE") for name in variables} <= settings_that_are_read()
    assert {str(Path(variables[name]).parent) for name in files} == {SECRETS}
    assert len(files) >= 4


def test_the_secret_that_people_make_has_every_file_that_is_named_and_no_other(manifests: list[Manifest], operator: Path) -> None:
    named = {Path(value).name for name, value in settings_of(manifests).items() if name.endswith("_FILE")}

    assert {path.name for path in (operator / "secrets").iterdir()} == named


def test_no_secret_stands_in_a_manifest(manifests: list[Manifest]) -> None:
    assert [each["kind"] for each in manifests if each["kind"] == "Secret"] == []
    assert [container["name"] for container in containers(manifests) if "env" in container] == []


def test_a_changed_setting_starts_new_pods(manifests: list[Manifest], tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "kubernetes")
    file = tmp_path / "kubernetes/overlays/production/kustomization.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("auth.example.com", "sign-in.example.com"), encoding="utf-8")

    changed = kustomize.build(file.parent)

    assert template_of(find(changed, "Deployment")) != template_of(find(manifests, "Deployment"))


# --- What a pod may do -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["Deployment", "Job"])
def test_a_pod_is_an_unprivileged_number_that_can_do_nothing_else(manifests: list[Manifest], image: Config, kind: str) -> None:
    pod = template_of(find(manifests, kind))["spec"]
    user, group = map(int, image.user.split(":"))

    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": group,
        "fsGroup": group,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    for container in containers_of(pod):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


@pytest.mark.parametrize("kind", ["Deployment", "Job"])
def test_a_pod_writes_to_bounded_memory_alone(manifests: list[Manifest], kind: str) -> None:
    pod = template_of(find(manifests, kind))["spec"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}

    for container in containers_of(pod):
        writable = {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"] if not mount.get("readOnly")}
        assert {"/tmp"} <= writable.keys() <= {"/tmp", "/dev/shm"}  # noqa: S108
        assert all(volume["emptyDir"] == {"medium": "Memory", "sizeLimit": "64Mi"} for volume in writable.values())
        assert container["resources"]["limits"].keys() == container["resources"]["requests"].keys() == {"cpu", "memory"}
    assert volumes["secrets"]["secret"] == {"secretName": "authserver", "defaultMode": 0o440}


def test_no_pod_has_a_token_for_the_cluster_and_the_namespace_refuses_what_could_do_more(manifests: list[Manifest]) -> None:
    account, namespace = find(manifests, "ServiceAccount"), find(manifests, "Namespace")

    assert account["automountServiceAccountToken"] is False
    assert {template_of(find(manifests, kind))["spec"]["serviceAccountName"] for kind in ("Deployment", "Job")} == {name_of(account)}
    assert namespace["metadata"]["labels"] == {"pod-security.kubernetes.io/enforce": "restricted"}
    assert {each["metadata"].get("namespace") for each in manifests} == {None, name_of(namespace)}


# --- The image and its commands --------------------------------------------------------------------


def test_every_pod_runs_the_image_of_this_version(manifests: list[Manifest]) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

    assert {container["image"] for container in containers(manifests)} == {f"registry.example.com/authserver:{version}"}


def test_the_server_is_the_command_of_the_image_on_its_port(manifests: list[Manifest], image: Config) -> None:
    [server] = template_of(find(manifests, "Deployment"))["spec"]["containers"]

    assert not {"command", "args"} & server.keys()  # what is not said is the image's
    assert [str(port["containerPort"]) for port in server["ports"]] == image.ports == [settings_of(manifests)["AUTH_SERVICE__PORT"]]


def test_the_job_prepares_the_database_as_compose_does(manifests: list[Manifest]) -> None:
    [migrate] = template_of(find(manifests, "Job"))["spec"]["containers"]
    document = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))

    assert migrate["command"] == document["services"]["migrate"]["command"]


@pytest.mark.django_db
def test_a_new_pod_waits_for_the_migrations(manifests: list[Manifest]) -> None:
    [wait] = template_of(find(manifests, "Deployment"))["spec"]["initContainers"]
    [python, script, *words] = wait["command"]

    call_command(*words)
    MigrationRecorder(connection).migration_qs.filter(app="oauth").latest("pk").delete()
    with pytest.raises(SystemExit):
        call_command(*words, verbosity=0)

    assert (python, script) == ("python", "manage.py")


# --- Probes and times ------------------------------------------------------------------------------


@pytest.mark.parametrize("probe", ["startupProbe", "livenessProbe", "readinessProbe"])
def test_a_probe_is_answered_over_plain_http_and_by_the_address_of_the_pod(
    manifests: list[Manifest], signing_key: Any, settings: Any, probe: str
) -> None:
    settings.REQUIRE_HTTPS, settings.ALLOWED_HOSTS = True, ["auth.example.com"]
    [server] = template_of(find(manifests, "Deployment"))["spec"]["containers"]
    asked = server[probe]["httpGet"]

    answer = Browser().get(asked["path"], headers={"Host": POD})

    assert asked.keys() == {"path", "port"}
    assert asked["port"] in {port["name"] for port in server["ports"]}
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")


def test_a_server_is_never_restarted_because_its_database_is_away(manifests: list[Manifest], db: None) -> None:
    [server] = template_of(find(manifests, "Deployment"))["spec"]["containers"]
    paths = {probe: server[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "liveness", "readiness")}

    statuses = {probe: Browser().get(path, headers={"Host": POD}).status_code for probe, path in paths.items()}

    assert statuses == {"startup": 200, "liveness": 200, "readiness": 503}  # there is no signing key
    assert server["readinessProbe"]["timeoutSeconds"] > SECONDS_UNTIL_A_DATABASE_IS_GIVEN_UP


def test_a_pod_is_given_longer_to_end_than_it_takes(manifests: list[Manifest]) -> None:
    pod = template_of(find(manifests, "Deployment"))["spec"]
    [server] = pod["containers"]
    [program, seconds] = server["lifecycle"]["preStop"]["exec"]["command"]

    assert program == "sleep"
    assert int(seconds) >= 5
    assert pod["terminationGracePeriodSeconds"] >= int(seconds) + seconds_to_end() + 5


# --- What belongs together -------------------------------------------------------------------------


def test_whoever_selects_pods_selects_those_that_there_are(manifests: list[Manifest]) -> None:
    labels = template_of(find(manifests, "Deployment"))["metadata"]["labels"]
    deployment, budget = (find(manifests, kind)["spec"] for kind in ("Deployment", "PodDisruptionBudget"))
    services = [each["spec"] for each in manifests if each["kind"] == "Service"]
    spread = deployment["template"]["spec"]["topologySpreadConstraints"]

    assert deployment["selector"]["matchLabels"] == budget["selector"]["matchLabels"] == labels
    assert [service["selector"] for service in services] == [labels, labels]
    assert [each["labelSelector"]["matchLabels"] for each in spread] == [labels, labels]
    assert {each["topologyKey"] for each in spread} == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
    assert [port["targetPort"] for service in services for port in service["ports"]] == ["http", "http"]


def test_the_ingress_of_the_page_finds_the_key_set_also_at_pods_that_are_not_ready(manifests: list[Manifest]) -> None:
    services = {name_of(each): each["spec"] for each in manifests if each["kind"] == "Service"}
    [ingress] = of_the_page("Ingress")
    [rule] = ingress["spec"]["rules"]
    backends = {each["path"]: each["backend"]["service"] for each in rule["http"]["paths"]}

    assert rule["host"] in settings_of(manifests)["AUTH_SERVICE__ALLOWED_HOSTS"]
    assert {each["port"]["name"] for each in backends.values()} == {port["name"] for spec in services.values() for port in spec["ports"]}
    assert {name: spec.get("publishNotReadyAddresses", False) for name, spec in services.items()} == {
        backends["/.well-known/"]["name"]: True,
        backends["/"]["name"]: False,
    }


def test_pods_are_emptied_one_by_one_and_also_while_none_is_ready(manifests: list[Manifest]) -> None:
    budget, rollout = find(manifests, "PodDisruptionBudget")["spec"], find(manifests, "Deployment")["spec"]["strategy"]["rollingUpdate"]

    assert (budget["maxUnavailable"], budget["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")
    assert rollout == {"maxUnavailable": 0, "maxSurge": 1}


def test_postgresql_has_a_connection_for_every_thread_of_the_most_pods(manifests: list[Manifest]) -> None:
    scaler, deployment = find(manifests, "HorizontalPodAutoscaler")["spec"], find(manifests, "Deployment")
    most = scaler["maxReplicas"] + deployment["spec"]["strategy"]["rollingUpdate"]["maxSurge"]

    assert scaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": name_of(deployment)}
    assert "replicas" not in deployment["spec"]
    assert scaler["minReplicas"] >= 3
    assert scaler["metrics"][0]["resource"]["name"] == "cpu"
    assert most * int(settings_of(manifests)["WEB_CONCURRENCY"]) * CONNECTIONS_OF_A_PROCESS <= 100 - SPARE_CONNECTIONS


def test_operations_says_of_the_connections_of_a_process_what_the_cluster_counts_with() -> None:
    said = re.findall(r"each process takes up to (\w+)|up to (\w+) connections for each of its processes", PAGE.read_text(encoding="utf-8"))

    assert CONNECTIONS_OF_A_PROCESS == 6
    assert ["".join(each) for each in said] == ["six", "six"]


def test_every_pod_has_a_network_policy_and_nobody_calls_the_job(manifests: list[Manifest]) -> None:
    policies = {str(each["spec"]["podSelector"]["matchLabels"]): each["spec"] for each in manifests if each["kind"] == "NetworkPolicy"}
    server, job = (policies.pop(str(template_of(find(manifests, kind))["metadata"]["labels"])) for kind in ("Deployment", "Job"))

    assert policies == {}
    assert server["policyTypes"] == job["policyTypes"] == ["Ingress", "Egress"]
    [caller] = server["ingress"]
    assert caller["ports"] == [{"port": "http"}]
    [label] = caller["from"][0]["namespaceSelector"]["matchLabels"].items()
    assert f"{label[0]}={label[1]}" in "".join(blocks("sh", heading="In Kubernetes"))
    assert "ingress" not in job
    assert ports_of(job) == {53, 5432}
    assert ports_of(server) == {53, 5432, 6379, 465, 587, 443}


def test_the_policy_of_the_page_lets_a_pod_of_the_server_call_more(manifests: list[Manifest], tmp_path: Path) -> None:
    [policy] = of_the_page("NetworkPolicy")
    shutil.copytree(FOLDER, tmp_path / "kubernetes")
    file = tmp_path / "kubernetes/overlays/production/kustomization.yaml"
    (file.parent / "also.yaml").write_text(yaml.safe_dump(policy), encoding="utf-8")
    file.write_text(
        file.read_text(encoding="utf-8").replace("  - namespace.yaml\n", "  - namespace.yaml\n  - also.yaml\n"), encoding="utf-8"
    )

    [also] = [each for each in kustomize.build(file.parent) if name_of(each) == "authserver-also"]

    assert also["metadata"]["namespace"] == name_of(find(manifests, "Namespace"))
    assert also["spec"]["podSelector"]["matchLabels"] == template_of(find(manifests, "Deployment"))["metadata"]["labels"]
    assert also["spec"]["policyTypes"] == ["Egress"]  # what comes in is for the other policy alone
    assert ports_of(also["spec"]) == {6432, 4318}


def test_until_it_is_changed_the_production_overlay_believes_no_proxy(manifests: list[Manifest]) -> None:
    [network] = proxies_of(manifests)

    assert network.num_addresses == 1
    assert network.subnet_of(ipaddress.ip_network("192.0.2.0/24"))  # for documentation: nobody has it


# --- The builder -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "namePrefix: my-",
        "images: [{name: authserver, digest: sha256:0}]",
        "configMapGenerator: [{name: x, files: [y]}]",
        "configMapGenerator: [{name: x, behavior: replace, literals: []}]",
        "patches: [{patch: x}]",
    ],
)
def test_a_kustomization_that_is_not_built_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "kustomization.yaml").write_text(text, encoding="utf-8")

    with pytest.raises(kustomize.NotUnderstoodError):
        kustomize.build(tmp_path)


def test_a_config_map_is_named_as_kubectl_names_it(tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text("configMapGenerator: [{name: authserver, literals: [A=1, B=x=y]}]", encoding="utf-8")

    [config_map] = kustomize.build(tmp_path)

    assert config_map["data"] == {"A": "1", "B": "x=y"}
    assert name_of(config_map) == "authserver-28g5bt9kh6"


# --- What the tests need ---------------------------------------------------------------------------


def of_the_page(kind: str) -> list[Manifest]:
    """What docs/operations.md has people paste."""
    return [each for text in blocks("yaml", heading="In Kubernetes") for each in yaml.safe_load_all(text) if each["kind"] == kind]


def find(manifests: list[Manifest], kind: str) -> Manifest:
    [found] = [each for each in manifests if each["kind"] == kind]
    return found


def name_of(manifest: Manifest) -> str:
    return str(manifest["metadata"]["name"])


def template_of(workload: Manifest) -> Manifest:
    return dict(workload["spec"]["template"])


def containers_of(pod: Manifest) -> list[Manifest]:
    return [*pod.get("initContainers", []), *pod["containers"]]


def containers(manifests: list[Manifest]) -> list[Manifest]:
    return [each for kind in ("Deployment", "Job") for each in containers_of(template_of(find(manifests, kind))["spec"])]


def settings_of(manifests: list[Manifest]) -> dict[str, str]:
    """The variables of every container: the pods have them from one place."""
    config_map = find(manifests, "ConfigMap")
    assert {str(each["envFrom"]) for each in containers(manifests)} == {str([{"configMapRef": {"name": name_of(config_map)}}])}
    return dict(config_map["data"])


def proxies_of(manifests: list[Manifest]) -> list[Any]:
    """The proxies that are believed."""
    return [ipaddress.ip_network(each) for each in settings_of(manifests)["AUTH_SERVICE__TRUSTED_PROXIES"].split(",")]


def ports_of(policy: Manifest) -> set[int]:
    return {port["port"] for rule in policy["egress"] for port in rule["ports"]}
