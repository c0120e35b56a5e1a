"""The client for Python in examples/ against the real server, and what its page says."""

import asyncio
import re
import secrets
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from tests import secrecy
from tests.e2e.cutting_proxy import cutting_proxy
from tests.e2e.servers import ROOT

EXAMPLE = ROOT / "examples/python-client"
sys.path.append(str(EXAMPLE))

from authserver_client import (  # noqa: E402 - after the path it is found on
    AccountLocked,
    AsyncAuthClient,
    AuthClient,
    FileStore,
    InvalidClient,
    InvalidGrant,
    MemoryStore,
)

CLIENT_ID, ROBOT = "codelab-python-client", "a-robot"
USER = ("user@example.com", "password123")
ANOTHER_USER = ("test@example.com", "test123")
BLOCKS = re.findall(r"```python\n(.*?)```", (EXAMPLE / "README.md").read_text("utf-8"), re.DOTALL)
SAID = (r"^{.*'client': .*}$", r"^{.*'client': .*}$", r"^$", r"^Wrong user name or password\.$")
THREADS, COROUTINES = 20, 50


@pytest.fixture
def store():
    return MemoryStore()


@pytest.fixture
def client(own_server, store):
    with AuthClient(own_server.base_url, CLIENT_ID, store=store) as client:
        yield client


@pytest.fixture
def api(own_server, client):
    with httpx.Client(base_url=own_server.base_url, auth=client.auth, timeout=20) as api:
        yield api


@pytest.fixture(scope="module")
def robot_secret(own_server):
    grants = ("--grant-type", "password", "--grant-type", "refresh_token")
    said = own_server.manage("create_client", ROBOT, *grants, "--scope", "api:read")
    [secret] = re.findall(r"client_secret +(\S+)", said)
    secrecy.remember("a client's secret", secret)
    return secret


@pytest.fixture
def robot(own_server, robot_secret, store):
    """A confidential client, that signs users in too."""
    with AuthClient(own_server.base_url, ROBOT, client_secret=robot_secret, store=store) as robot:
        yield robot


def refused(own_server, refresh_token):
    """What the server says to this refresh token."""
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token, "client_id": CLIENT_ID}
    return httpx.post(f"{own_server.base_url}/oauth/token", data=form, timeout=20).json()["error"]


def test_a_user_signs_in_calls_refreshes_and_signs_out(own_server, client, api, store):
    client.sign_in(*USER, scope="api:read")
    assert store.load().scope == "api:read"
    first = client.access_token()
    assert api.get("/api/v1/me").json()["username"] == "user"

    second = client.refresh()
    assert second != first
    assert api.get("/api/v1/me").status_code == 200

    refresh_token = store.load().refresh_token
    client.sign_out()
    assert store.load() is None
    assert refused(own_server, refresh_token) == "invalid_grant"
    headers = {"Authorization": f"Bearer {second}"}
    assert httpx.get(f"{own_server.base_url}/api/v1/me", headers=headers, timeout=20).status_code == 401
    with pytest.raises(InvalidGrant, match="Nobody is signed in"):
        api.get("/api/v1/me")


def test_coroutines_do_the_same(own_server, store):
    async def day():
        async with AsyncAuthClient(own_server.base_url, CLIENT_ID, store=store) as client:
            await client.sign_in(*USER)
            async with httpx.AsyncClient(base_url=own_server.base_url, auth=client.auth, timeout=20) as api:
                before = (await api.get("/api/v1/me")).json()["username"]
                await client.refresh()
                after = (await api.get("/api/v1/me")).json()["username"]
            refresh_token = store.load().refresh_token
            await client.sign_out()
            return before, after, refresh_token

    before, after, refresh_token = asyncio.run(day())

    assert (before, after) == ("user", "user")
    assert refused(own_server, refresh_token) == "invalid_grant"


def test_twenty_threads_and_fifty_coroutines_make_one_refresh(own_server, client, store):
    client.sign_in(*USER)
    store.save(replace(store.load(), expires_at=0))
    sent, everybody = [], threading.Barrier(THREADS)

    async def count(request):
        sent.append(request.url.path)

    def ask(of_threads):
        everybody.wait()
        return of_threads.access_token()

    async def all_of_them(of_threads):
        http = httpx.AsyncClient(event_hooks={"request": [count]}, timeout=20)
        of_coroutines = AsyncAuthClient(own_server.base_url, CLIENT_ID, store=store, http=http)
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(THREADS) as pool:
            in_threads = [loop.run_in_executor(pool, ask, of_threads) for _ in range(THREADS)]
            async with http:
                return await asyncio.gather(*in_threads, *(of_coroutines.access_token() for _ in range(COROUTINES)))

    with httpx.Client(event_hooks={"request": [lambda request: sent.append(request.url.path)]}, timeout=20) as http:
        tokens = asyncio.run(all_of_them(AuthClient(own_server.base_url, CLIENT_ID, store=store, http=http)))

    assert len(tokens) == THREADS + COROUTINES
    assert len(set(tokens)) == 1
    assert sent == ["/oauth/token"]
    assert client.refresh() in tokens  # newer than its own, and there already
    assert client.refresh() not in tokens


def test_a_refresh_whose_answer_is_lost_on_the_way_keeps_the_session(own_server, store):
    with cutting_proxy(own_server.port) as proxy, AuthClient(proxy.base_url, CLIENT_ID, store=store) as client:
        client.sign_in(*USER)
        spent = store.load().refresh_token
        proxy.cuts = 2

        client.refresh()

        assert [answer.split(b"\r\n")[0] for answer in proxy.lost] == [b"HTTP/1.1 200 OK"] * 2
        assert client.refresh()  # the session lives

    assert refused(own_server, spent) == "invalid_grant"  # and the token was spent: this ends it


def test_a_process_that_dies_between_the_answer_and_the_file_keeps_the_session(own_server, tmp_path):
    """What the file holds then is what it held before the refresh."""
    path = tmp_path / "tokens.json"
    with AuthClient(own_server.base_url, CLIENT_ID, store=FileStore(path)) as client:
        client.sign_in(*USER)
        before = path.read_text()
        client.refresh()
        path.write_text(before)

    with AuthClient(own_server.base_url, CLIENT_ID, store=FileStore(path)) as client:
        client.refresh()
        assert client.refresh()


def test_an_access_token_that_the_api_refuses_is_replaced_and_the_call_repeated_once(own_server, store):
    with AuthClient(own_server.base_url, "test-client", store=store) as first:
        first.sign_in(*ANOTHER_USER, scope="api:read auth:account")
    store.save(replace(store.load(), access_token="not a token any more"))

    with AuthClient(own_server.base_url, "test-client", store=store) as later:
        answer = httpx.patch(f"{own_server.base_url}/api/v1/me", json={"name": "Алиса"}, auth=later.auth, timeout=20)

    assert (answer.status_code, answer.json()["name"]) == (200, "Алиса")
    assert [each.status_code for each in answer.history] == [401]


def test_a_session_that_was_ended_elsewhere_signs_out(own_server, client, api, store):
    client.sign_in(*USER)
    form = {"token": store.load().refresh_token, "client_id": CLIENT_ID}
    assert httpx.post(f"{own_server.base_url}/oauth/revoke", data=form, timeout=20).status_code == 200

    with pytest.raises(InvalidGrant, match="The user name or password is wrong, or the grant is"):
        api.get("/api/v1/me")

    assert store.load() is None


def test_five_wrong_passwords_lock_the_account_and_the_sixth_is_told_until_when(client):
    nobody = f"nobody-{secrets.token_hex(4)}@example.com"  # who is locked as somebody is
    for _ in range(5):
        with pytest.raises(InvalidGrant):
            client.sign_in(nobody, "not this one")

    with pytest.raises(AccountLocked) as raised:
        client.sign_in(nobody, "nor this one")

    locked = raised.value
    assert 800 <= locked.retry_after <= 900
    opens_in = locked.locked_until - datetime.now(UTC)
    assert abs(opens_in - timedelta(seconds=locked.retry_after)) < timedelta(seconds=30)
    assert re.fullmatch(r"[0-9a-f]{16}", locked.error_id)


def test_a_confidential_client_signs_in_refreshes_and_signs_out(robot, store):
    robot.sign_in(*USER)
    assert robot.refresh()
    tokens = store.load()

    robot.sign_out()

    store.save(tokens)
    with pytest.raises(InvalidGrant, match="revoked"):
        robot.refresh()


def test_a_confidential_client_whose_secret_is_wrong_is_told_so(own_server, robot_secret):
    with AuthClient(own_server.base_url, ROBOT, client_secret=f"{robot_secret}x") as client, pytest.raises(InvalidClient):
        client.sign_in(*USER)


@pytest.mark.parametrize(("block", "said"), [*zip(BLOCKS, SAID, strict=True)])
def test_the_code_of_the_page_runs_as_it_stands(own_server, capsys, block, said):
    code = block.replace("http://localhost:8003", own_server.base_url)

    exec(code, {"__name__": "__main__"})  # noqa: S102 - our own page

    assert re.search(said, capsys.readouterr().out)
