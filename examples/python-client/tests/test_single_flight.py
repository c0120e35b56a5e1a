"""One refresh at a time, however many threads, coroutines and clients ask for it."""

import asyncio
import logging
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from authserver_client import AsyncAuthClient, AuthClient, InvalidGrant, MemoryStore, TemporarilyUnavailable
from played_server import refused

THREADS, COROUTINES = 20, 50


@pytest.fixture
def store(server):
    """Somebody is signed in, and the access token is near its end."""
    store = MemoryStore()
    server.expires_in = 0
    with AuthClient(server.url, "editor", store=store) as client:
        client.sign_in("alice", server.password)
    server.expires_in = 900
    return store


def ask_in_threads(ask):
    """What each got, or the error. All of them are asking before the first is answered."""
    everybody = threading.Barrier(THREADS)

    def one(_):
        everybody.wait()
        try:
            return ask()
        except Exception as error:  # noqa: BLE001 - it is what the test looks at
            return error

    with ThreadPoolExecutor(THREADS) as pool:
        return [*pool.map(one, range(THREADS))]


def until_the_others_wait():
    """Hold the answer back until all threads but one wait for the result of that one."""
    deadline = time.monotonic() + 20
    while sum(map(is_waiting_for_a_result, sys._current_frames().values())) < THREADS - 1:
        assert time.monotonic() < deadline, "the threads do not wait for one of them"
        time.sleep(0.01)


def is_waiting_for_a_result(frame):
    names = set()
    while frame:
        names.add(frame.f_code.co_qualname)
        frame = frame.f_back
    return {"Future.result", "_Blocking.share"} <= names


def linger():
    """Long enough for others to arrive; when they come later they find the result, and the test holds too."""
    time.sleep(0.2)


@pytest.mark.parametrize("how", ["access_token", "refresh"])
def test_threads_that_ask_together_get_the_result_of_one_refresh(server, store, how):
    server.before_token = until_the_others_wait
    with AuthClient(server.url, "editor", store=store) as client:
        told = ask_in_threads(getattr(client, how))

    assert len(server.refreshes()) == 1
    assert set(told) == server.good


@pytest.mark.parametrize("how", ["access_token", "refresh"])
def test_coroutines_that_ask_together_get_the_result_of_one_refresh(server, store, how):
    server.before_token = linger

    async def ask():
        async with AsyncAuthClient(server.url, "editor", store=store) as client:
            return await asyncio.gather(*(getattr(client, how)() for _ in range(COROUTINES)))

    assert set(asyncio.run(ask())) == server.good
    assert len(server.refreshes()) == 1


def test_threads_and_coroutines_that_share_a_store_share_its_refresh(server, store):
    server.before_token = linger

    async def ask():
        async with AsyncAuthClient(server.url, "editor", store=store) as of_coroutines:
            with AuthClient(server.url, "editor", store=store) as of_threads:
                in_threads = asyncio.to_thread(ask_in_threads, of_threads.access_token)
                together, *tokens = await asyncio.gather(in_threads, *(of_coroutines.access_token() for _ in range(COROUTINES)))
                return together + tokens

    told = asyncio.run(ask())

    assert len(told) == THREADS + COROUTINES
    assert set(told) == server.good
    assert len(server.refreshes()) == 1


def test_threads_that_wait_get_the_error_too(server, store):
    server.before_token = until_the_others_wait
    server.next = [refused(503, "temporarily_unavailable", headers={"Retry-After": "60"})]
    with AuthClient(server.url, "editor", store=store) as client:
        told = ask_in_threads(client.access_token)

    assert {type(error) for error in told} == {TemporarilyUnavailable}
    assert len(server.refreshes()) == 1


def test_coroutines_that_wait_get_the_error_too(server, store):
    server.next = [refused(503, "temporarily_unavailable", headers={"Retry-After": "60"})]

    async def ask():
        async with AsyncAuthClient(server.url, "editor", store=store) as client:
            return await asyncio.gather(*(client.access_token() for _ in range(COROUTINES)), return_exceptions=True)

    assert {type(error) for error in asyncio.run(ask())} == {TemporarilyUnavailable}
    assert len(server.refreshes()) == 1


def test_who_stops_waiting_does_not_stop_the_refresh_for_the_others(server, store, release):
    arrived = threading.Event()

    def hold():
        arrived.set()
        release.wait(10)

    server.before_token = hold

    async def ask():
        async with AsyncAuthClient(server.url, "editor", store=store) as client:
            first, second = (asyncio.create_task(client.access_token()) for _ in range(2))
            await asyncio.to_thread(arrived.wait)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            release.set()
            return await second

    assert asyncio.run(ask()) in server.good
    assert len(server.refreshes()) == 1


def test_a_refresh_that_nobody_waits_for_any_more_keeps_its_tokens_and_its_silence(server, store, release, caplog):
    def hold():
        release.wait(10)
        server.end_session()

    server.before_token = hold

    async def ask():
        async with AsyncAuthClient(server.url, "editor", store=store) as client:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.access_token(), 0.1)
            release.set()
            with pytest.raises(InvalidGrant):
                await client.access_token()

    with caplog.at_level(logging.ERROR, "asyncio"):
        asyncio.run(ask())

    assert len(server.refreshes()) == 1
    assert store.load() is None
    assert caplog.records == []


def test_fifty_calls_of_an_api_that_are_answered_401_together_make_one_refresh(server):
    async def ask():
        async with AsyncAuthClient(server.url, "editor") as client, httpx.AsyncClient(auth=client.auth) as api:
            await client.sign_in("alice", server.password)
            server.good.clear()
            return await asyncio.gather(*(api.post(f"{server.url}/api/things", json={"number": number}) for number in range(COROUTINES)))

    answers = asyncio.run(ask())

    assert {answer.status_code for answer in answers} == {200}
    assert len(server.refreshes()) == 1


def test_a_token_store_that_is_never_let_go_of_is_told_of(server, store, monkeypatch):
    monkeypatch.setattr("authserver_client.session.LOCK_SECONDS", 0.1)
    assert store.try_lock()

    with AuthClient(server.url, "editor", store=store) as client, pytest.raises(TemporarilyUnavailable, match="token store"):
        client.refresh()
