"""deploy/nginx before servers that tell what they were asked: TLS, a proxy in front, and what is counted by address."""

import re
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from http.server import ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from deploy import demo, gateway_configuration
from tests.e2e.gateway import free_ports
from tests.e2e.nginx import find_program, make_certificate, need
from tests.e2e.servers import ROOT, clean_environment
from tests.e2e.test_proxy import dying_server
from tests.e2e.told import Told, ask_from, gateway
from tests.postgres import free_port
from tests.project.test_docs import LINK, leads_somewhere, prose

NAME = "auth.example.com"
FORGED = {
    "X-Forwarded-For": "203.0.113.9",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "evil.example",
    "X-Real-IP": "203.0.113.9",
    "Forwarded": "for=203.0.113.9",
    "X-Request-ID": "forged-request-id",
    "X-Request-Start": "t=1",
    "X-Auth-Subject": "mallory",
    "X-Auth-Scope": "all",
    "X-Auth-Client": "mallory",
}


@pytest.fixture(scope="module")
def told_port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Told) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, told_port: int) -> Iterator[gateway_configuration.Ports]:
    """With a proxy in front, which comes from 127.0.0.9."""
    with gateway(tmp_path_factory.mktemp("plain"), told_port, GATEWAY_FRONT_PROXY="127.0.0.9/32") as ports:
        yield ports


# --- What the servers are told --------------------------------------------------------------------


@pytest.mark.checklist(45)
@pytest.mark.parametrize(
    "path", ["/sign-in", "/oauth/token", "/api/v1/auth/me", "/auth-health", "/api/v1/sessions", "/.well-known/x", "/api/v1/ws/x"]
)
def test_no_server_believes_what_a_client_says_of_itself(plain: gateway_configuration.Ports, path: str) -> None:
    with ask_from("127.0.0.2", plain) as http:
        answer = http.get(path, headers=FORGED)
    told = answer.json()

    assert (told["x-forwarded-for"], told["x-forwarded-proto"], told["x-real-ip"]) == ("127.0.0.2", "http", "127.0.0.2")
    assert told["host"] == told["x-forwarded-host"] == f"127.0.0.1:{plain.gateway}"
    assert told["x-request-id"] == answer.headers["X-Request-ID"] != FORGED["X-Request-ID"]
    assert re.fullmatch(r"t=\d{10}\.\d{3}", told["x-request-start"])
    assert told.keys() & {"forwarded", "x-auth-subject", "x-auth-scope", "x-auth-client"} == set()


def test_the_old_service_gets_the_user_and_not_the_token(plain: gateway_configuration.Ports) -> None:
    with ask_from("127.0.0.2", plain) as http:
        told = http.get("/legacy/x", headers=FORGED | {"Authorization": "Bearer good"}).json()

    assert (told["path"], told["x-auth-subject"], told["x-forwarded-for"]) == ("/x", "somebody", "127.0.0.2")
    assert told.keys() & {"authorization", "x-auth-scope", "x-auth-client"} == set()


def test_the_proxy_in_front_is_believed(plain: gateway_configuration.Ports) -> None:
    with ask_from("127.0.0.9", plain) as http:
        answer = http.get("/sign-in", headers=FORGED)
    told = answer.json()

    assert (told["x-forwarded-for"], told["x-forwarded-proto"]) == ("203.0.113.9", "https")
    assert answer.headers["Strict-Transport-Security"] == "max-age=63072000"


def test_connections_to_the_servers_are_kept(plain: gateway_configuration.Ports) -> None:
    before = Told.connections

    with ask_from("127.0.0.2", plain) as http:
        assert [http.post("/oauth/token").status_code for _ in range(20)] == [200] * 20

    assert Told.connections - before <= 1


def test_a_post_that_may_have_arrived_is_not_sent_to_another_server(tmp_path: Path, told_port: int) -> None:
    with dying_server() as (dying_port, received):
        both = f"127.0.0.1:{dying_port} max_fails=0; server 127.0.0.1:{told_port} backup"
        with gateway(tmp_path, told_port, GATEWAY_AUTHSERVER=both) as ports, ask_from("127.0.0.2", ports) as http:
            posted = http.post("/oauth/token")
            read = http.get("/oauth/authorize")

    assert received == [b"POST", b"GET"]
    assert (posted.status_code, posted.json()["error"], posted.headers["Retry-After"]) == (503, "temporarily_unavailable", "5")
    assert read.status_code == 200


# --- What is counted ------------------------------------------------------------------------------


@pytest.mark.checklist(46)
def test_an_ipv6_network_is_one_address_and_its_neighbour_another(plain: gateway_configuration.Ports) -> None:
    with ask_from("127.0.0.9", plain) as http:
        # A byte that a regular expression could take for the end of a line is in it.
        answers = [
            http.post("/sign-in", headers={"X-Forwarded-For": f"2001:db8:0:0a0a::{number:x}"}).status_code for number in range(1, 200)
        ]
        neighbour = http.post("/sign-in", headers={"X-Forwarded-For": "2001:db8:0:0a0b::1"}).status_code
        tokens = {http.post("/oauth/token", headers={"X-Forwarded-For": "2001:db8:0:0a0a::1"}).status_code for _ in range(5)}
        reads = {http.get("/sign-in", headers={"X-Forwarded-For": "2001:db8:0:0a0a::1"}).status_code for _ in range(5)}

    assert answers[:51] == [200] * 51
    assert 429 in answers
    assert (neighbour, tokens, reads) == (200, {200}, {200})


def test_who_stops_in_the_middle_of_a_request_is_given_up(tmp_path: Path, told_port: int) -> None:
    with gateway(tmp_path, told_port, shorter={"client_header_timeout 10s;", "client_body_timeout 10s;"}) as ports:
        for beginning in (
            b"POST /oauth/token HTTP/1.1\r\nHost: loc",
            b"POST /oauth/token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\na=",
        ):
            with socket.create_connection(("127.0.0.1", ports.gateway), timeout=20) as slow:
                slow.sendall(beginning)
                with suppress(ConnectionResetError):
                    assert slow.recv(65536) == b""


# --- Secrets --------------------------------------------------------------------------------------


def test_the_folder_of_the_cache_is_closed_and_in_memory(plain: gateway_configuration.Ports, told_port: int, tmp_path: Path) -> None:
    with gateway(tmp_path, told_port) as ports, ask_from("127.0.0.2", ports) as http:
        assert http.get("/legacy/x", headers={"Authorization": "Bearer good"}).status_code == 200
        [cache] = re.findall(r"proxy_cache_path (\S+/gateway-verified)", (tmp_path / "nginx/gateway.conf").read_text("utf-8"))
        folder = Path(cache)
        assert folder.is_relative_to(gateway_configuration.IN_MEMORY or tempfile.gettempdir())
        assert folder.stat().st_mode & 0o077 == 0
        assert [file.stat().st_mode & 0o077 for file in folder.rglob("*") if file.is_file()] == [0]
    assert not folder.parent.exists()


# --- TLS ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory, told_port: int) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """Clients that ask over TLS and in clear."""
    need("openssl")
    folder = tmp_path_factory.mktemp("tls")
    make_certificate(folder, host=NAME)
    port = free_port()
    values = {"GATEWAY_SERVER": "tls", "GATEWAY_HTTPS": f"127.0.0.1:{port}", "GATEWAY_NAME": NAME, "GATEWAY_TLS": str(folder)}
    with ExitStack() as stack:
        ports = stack.enter_context(gateway(folder, told_port, **values))
        trusted = ssl.create_default_context(cafile=folder / "fullchain.pem")
        anew = httpx.Limits(max_keepalive_connections=0)  # the name is said when a connection begins
        over_tls = httpx.Client(
            base_url=f"https://127.0.0.1:{port}", verify=trusted, limits=anew, headers={"Host": NAME}, trust_env=False, timeout=20
        )
        in_clear = httpx.Client(base_url=f"http://127.0.0.1:{ports.gateway}", headers={"Host": NAME}, trust_env=False, timeout=20)
        yield stack.enter_context(over_tls), stack.enter_context(in_clear)


@pytest.mark.parametrize("path", ["/sign-in", "/oauth/token", "/api/v1/sessions", "/.well-known/x", "/legacy/x", "/metrics"])
def test_everything_over_tls_says_to_come_back_over_tls(tls: tuple[httpx.Client, httpx.Client], path: str) -> None:
    over_tls, _ = tls

    answer = over_tls.get(path, headers={"Authorization": "Bearer good"}, extensions={"sni_hostname": NAME})

    assert answer.headers.get_list("Strict-Transport-Security") == ["max-age=63072000"]
    assert answer.status_code == 404 if path == "/metrics" else answer.json()["x-forwarded-proto"] == "https"


def test_another_name_gets_no_certificate(tls: tuple[httpx.Client, httpx.Client]) -> None:
    over_tls, _ = tls

    with pytest.raises(httpx.ConnectError, match=r"(?i)unrecognized.name"):
        over_tls.get("/sign-in", extensions={"sni_hostname": "evil.example"})


def test_in_clear_people_are_sent_on_and_programs_are_refused(tls: tuple[httpx.Client, httpx.Client]) -> None:
    _, in_clear = tls
    page = in_clear.get("/sign-in?next=/account", headers={"Host": "evil.example"})
    refused = [in_clear.post("/sign-in"), in_clear.post("/oauth/token"), in_clear.get("/api/v1/sessions"), in_clear.get("/legacy/x")]

    assert (page.status_code, page.headers["Location"]) == (301, f"https://{NAME}/sign-in?next=/account")
    assert [(each.status_code, each.json()["error_description"]) for each in refused] == [(400, "Use HTTPS.")] * 4


# --- make demo, where it cannot start --------------------------------------------------------------


def test_a_demo_whose_port_is_taken_says_so(told_port: int) -> None:
    need("nginx")
    done = subprocess.run(
        [sys.executable, "-m", "deploy.demo"],
        cwd=ROOT,
        env=clean_environment(DEMO_PORT=str(told_port)),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )

    assert (done.returncode, done.stderr) == (1, f"demo: Port {told_port} is taken. Choose others: DEMO_PORT=9080 make demo\n")


def test_a_demo_without_nginx_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(demo, "SERVER_FOLDERS", "")
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(demo.CannotStartError, match="apt-get install nginx-light"), demo.running(tmp_path, free_ports(), environment={}):
        pass


# --- As the page of the templates has it -----------------------------------------------------------


def test_the_readme_explains_every_value() -> None:
    templates = "".join(path.read_text("utf-8") for path in (ROOT / "deploy/nginx").glob("*.template"))
    page = (ROOT / "deploy/nginx/README.md").read_text("utf-8")

    named = set(re.findall(r"\$\{(GATEWAY_\w+)\}", templates))

    assert set(re.findall(r"^\| `(GATEWAY_\w+)` \|", page, re.MULTILINE)) == named
    assert len(named) > 10


@pytest.mark.parametrize("page", ["deploy/nginx/README.md", "examples/legacy-service/README.md"])
def test_every_link_of_the_readmes_leads_somewhere(page: str) -> None:
    links = [link for link in LINK.findall(prose(ROOT / page)) if "://" not in link]

    assert links
    assert [link for link in links if not leads_somewhere(link, page=ROOT / page)] == []


def test_what_the_readme_has_pasted_is_a_configuration_of_the_nginx_that_is_there(tmp_path: Path) -> None:
    need("nginx", "envsubst", "openssl")
    page = (ROOT / "deploy/nginx/README.md").read_text("utf-8")
    [script] = [block for block in re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL) if "envsubst" in block]
    for place in ("/etc/nginx", "/etc/ssl/auth.example.com", "/var/log/nginx", "/dev/shm"):  # noqa: S108 - as the page has it
        assert place in script
        (tmp_path / place.strip("/")).mkdir(parents=True, exist_ok=True)
        script = script.replace(place, f"{tmp_path}{place}")
    (tmp_path / "etc/nginx/conf.d").mkdir()
    make_certificate(tmp_path / "etc/ssl/auth.example.com", host=NAME)
    (tmp_path / "etc/nginx/nginx.conf").write_text(
        f"pid {tmp_path}/pid; events {{}} http {{ include {tmp_path}/etc/nginx/conf.d/*.conf; }}"
    )
    test = f'nginx() {{ {find_program("nginx")} -e stderr -c {tmp_path}/etc/nginx/nginx.conf "$@"; }}\nsystemctl() {{ :; }}\nset -eu\n'

    done = subprocess.run(["bash", "-c", test + script], cwd=ROOT, capture_output=True, encoding="utf-8", check=False)

    assert done.returncode == 0, done.stderr
    assert "test is successful" in done.stderr
    assert "GATEWAY_" not in "".join(re.sub("#.*", "", each.read_text("utf-8")) for each in (tmp_path / "etc/nginx/gateway").iterdir())
