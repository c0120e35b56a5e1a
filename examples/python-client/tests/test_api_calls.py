"""Requests of httpx that carry the token."""

import asyncio
import io

import httpx
import pytest
from authserver_client import AsyncAuthClient, AuthClient, InvalidGrant
from played_server import Refused


def calls(server):
    return [asked for asked in server.asked if asked.path.startswith("/api/")]


def test_a_call_carries_the_token(signed_in, server):
    answer = signed_in.call("GET", f"{server.url}/api/things")

    assert answer.status_code == 200
    assert len(calls(server)) == 1


def test_a_call_renews_the_token_before_it_expires(signed_in, server, clock):
    clock.pass_by(845)

    answer = signed_in.call("GET", f"{server.url}/api/things")

    assert answer.status_code == 200
    assert [asked.path for asked in server.asked[1:]] == ["/oauth/token", "/api/things"]


def test_a_call_that_is_answered_401_is_sent_once_more_with_the_next_token_and_the_same_body(signed_in, server):
    server.good.clear()

    answer = signed_in.call("POST", f"{server.url}/api/things", json={"name": "ö"})

    assert (answer.status_code, answer.json()["body"]) == (200, '{"name":"ö"}')
    assert [asked.path for asked in server.asked[1:]] == ["/api/things", "/oauth/token", "/api/things"]


def test_a_call_that_is_answered_401_again_is_not_sent_a_third_time(signed_in, server):
    server.answer_api = lambda: Refused(401, {"error": "invalid_token"})

    answer = signed_in.call("GET", f"{server.url}/api/things")

    assert answer.status_code == 401
    assert (len(calls(server)), len(server.refreshes())) == (2, 1)


@pytest.mark.parametrize("status", [403, 500])
def test_no_other_answer_is_worth_a_refresh(signed_in, server, status):
    server.answer_api = lambda: Refused(status, {})

    assert signed_in.call("GET", f"{server.url}/api/things").status_code == status

    assert (len(calls(server)), len(server.refreshes())) == (1, 0)


def test_a_call_after_the_session_has_ended_says_that_nobody_is_signed_in(signed_in, server):
    server.end_session()

    for _ in range(2):
        with pytest.raises(InvalidGrant):
            signed_in.call("GET", f"{server.url}/api/things")

    assert (len(calls(server)), len(server.refreshes())) == (1, 1)


async def chunks():
    yield b"one "
    yield b"two"


@pytest.mark.parametrize("kind", ["generator", "file"])
def test_a_body_that_cannot_be_sent_twice_is_not_and_the_next_call_succeeds(server, kind):
    def body():
        return io.BytesIO(b"one two") if kind == "file" else (part for part in (b"one ", b"two"))

    with AuthClient(server.url, "editor") as client, httpx.Client(auth=client.auth) as api:
        client.sign_in("alice", server.password)
        server.good.clear()

        assert api.post(f"{server.url}/api/things", content=body()).status_code == 401
        assert len(calls(server)) == 1
        client.access_token(refused=client.access_token())
        assert api.post(f"{server.url}/api/things", content=body()).json()["body"] == "one two"


def test_a_body_of_an_async_generator_is_not_sent_twice_either(server):
    async def ask():
        async with AsyncAuthClient(server.url, "editor") as client, httpx.AsyncClient(auth=client.auth) as api:
            await client.sign_in("alice", server.password)
            server.good.clear()
            return await api.post(f"{server.url}/api/things", content=chunks())

    assert asyncio.run(ask()).status_code == 401
    assert len(calls(server)) == 1


def test_the_client_of_threads_signs_calls_of_coroutines_without_blocking_them(server):
    async def ask(client):
        async with httpx.AsyncClient(auth=client.auth) as api:
            return await asyncio.gather(*(api.get(f"{server.url}/api/things") for _ in range(10)))

    with AuthClient(server.url, "editor") as client:
        client.sign_in("alice", server.password)
        server.good.clear()

        answers = asyncio.run(ask(client))

    assert {answer.status_code for answer in answers} == {200}
    assert len(server.refreshes()) == 1


def test_the_client_of_coroutines_says_that_it_cannot_sign_calls_of_threads(server):
    client = AsyncAuthClient(server.url, "editor")

    with httpx.Client(auth=client.auth) as api, pytest.raises(TypeError, match=r"give AuthClient\.auth to httpx\.Client"):
        api.get(f"{server.url}/api/things")

    asyncio.run(client.aclose())
