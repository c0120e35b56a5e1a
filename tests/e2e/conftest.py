"""Real servers, over real HTTP. Nothing here touches the database of the tests."""

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from deploy.demo import Demo
from tests.e2e import gateway
from tests.e2e.person import Person
from tests.e2e.servers import Server, authserver


@pytest.fixture(scope="session")
def start_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """Start a server of its own with these variables beside the usual ones; it stops when the tests end."""
    with ExitStack() as running, pytest.MonkeyPatch.context() as patch:
        patch.setenv("no_proxy", "localhost,127.0.0.1")  # httpx would ask a developer's proxy for them

        def start(**variables: str) -> Server:
            return running.enter_context(authserver(tmp_path_factory.mktemp("authserver"), **variables))

        yield start


@pytest.fixture(scope="session")
def server(start_server: Callable[..., Server]) -> Server:
    """As `make run` starts it, but for its issuer, which is the guide's."""
    return start_server()


@pytest.fixture(scope="session")
def forgiving_server(start_server: Callable[..., Server]) -> Server:
    """One for apps that refresh in parallel, behind a proxy that says where requests come from."""
    return start_server(AUTH_SERVICE__REFRESH_OVERLAP_SECONDS="10", AUTH_SERVICE__TRUSTED_PROXIES="127.0.0.1/32")


@pytest.fixture(scope="session")
def own_server(start_server: Callable[..., Server]) -> Server:
    """One that calls itself by the address under which it is reached: clients are given that alone."""
    return start_server(AUTH_SERVICE__JWT_ISSUER="http://localhost:{port}")


@pytest.fixture
def user(own_server: Server) -> Iterator[Person]:
    """Somebody at a browser who is not signed in yet."""
    person = Person(own_server.base_url, login="user@example.com", password="password123")
    with person.browser:
        yield person


@pytest.fixture
def http(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.base_url, timeout=20) as client:
        yield client


@pytest.fixture
def forgiving_http(forgiving_server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=forgiving_server.base_url, timeout=20) as client:
        yield client


@pytest.fixture(scope="session")
def demo(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """All that `make demo` starts, behind its gateway."""
    folder = tmp_path_factory.mktemp("gateway")
    if not os.environ.get("TEST_DB_URL"):  # it works on SQLite too
        gateway.copy_data(server.folder, folder, secret_key=server.environment["AUTH_SERVICE__SECRET_KEY"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("no_proxy", "localhost,127.0.0.1")
        # Without it a resource server takes tokens for another minute.
        with gateway.running(folder, AUTH_LEEWAY_SECONDS="0") as made:
            yield made


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: Any, call: Any) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Beside a failure stands what the server said last."""
    report = yield
    if report.failed:
        servers = {name: value for name, value in item.funcargs.items() if isinstance(value, Server)}
        report.sections += [(f"output of {name}", "\n".join(value.output().splitlines()[-40:])) for name, value in servers.items()]
    return report
