"""Redis that hangs, dies, is slow or takes no password costs an instant once, and is asked again when it is well."""

import logging
import time
from contextlib import suppress
from datetime import timedelta

import pytest
from prometheus_client import REGISTRY

from accounts import shared_store, throttling
from accounts.ceiling_store import CeilingStore
from accounts.shared_store import Away, SharedStore, connection
from accounts.throttling import REQUESTS, Throttled
from authserver import caches as server_caches
from authserver.env import Rate
from tests.redis import redis_server, slowly
from tests.threads import at_once

HERE = "192.0.2.1"


@pytest.fixture(autouse=True)
def _probed_often(monkeypatch):
    monkeypatch.setattr(shared_store, "PROBE_EVERY_SECONDS", 0.05)


@pytest.fixture
def store():
    """Of a process that has just begun."""
    made = SharedStore()
    yield made
    made.forget()


def ping(store):
    return store.ask(lambda: connection().ping())


def is_asked(store):
    with suppress(Away):
        return ping(store)
    return False


def wait_until_asked(store):
    deadline = time.monotonic() + 10
    while not is_asked(store):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def seconds_of(call):
    began_at = time.perf_counter()
    call()
    return time.perf_counter() - began_at


def point_to(settings, url):
    settings.REDIS_URL, settings.CACHES = url, server_caches.settings_of(url)


def up():
    return REGISTRY.get_sample_value("auth_store_up", {"store": "redis"})


def errors():
    return REGISTRY.get_sample_value("auth_store_errors_total", {"store": "redis"}) or 0


def test_without_redis_nothing_is_asked_and_nothing_is_wrong(store, caplog):
    assert not is_asked(store)
    store.watch()

    assert caplog.records == []


def test_a_dead_redis_is_left_alone_and_found_again_when_it_lives(redis, store, caplog):
    store.watch()
    redis.kill()

    with caplog.at_level(logging.WARNING):
        assert not is_asked(store)
        assert up() == 0
        redis.start()
        wait_until_asked(store)

    assert up() == 1
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("ERROR", "Redis is away; this process counts requests for itself until it is back"),
        ("WARNING", "Redis is back"),
    ]


def test_a_redis_that_hangs_costs_a_tenth_of_a_second_once(redis, store, caplog):
    ping(store)
    redis.freeze()

    first = seconds_of(lambda: is_asked(store))
    asked = []
    for _ in range(200):
        with pytest.raises(Away):
            store.ask(lambda: asked.append("nobody waits for it"))
    redis.thaw()
    wait_until_asked(store)

    assert 0.09 < first < 5
    assert asked == []
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == [
        "Redis is away; this process counts requests for itself until it is back"
    ]


def test_of_many_threads_that_meet_the_outage_one_tells_of_it(redis, store, caplog):
    ping(store)
    before = errors()
    redis.freeze()

    at_once(*[lambda: is_asked(store)] * 8)
    redis.thaw()
    wait_until_asked(store)

    assert 1 <= errors() - before <= 8
    assert [record.levelname for record in caplog.records].count("ERROR") == 1


def test_a_slow_redis_is_as_good_as_none(redis, store, settings, caplog):
    with slowly(redis.port, seconds=0.04) as port:
        point_to(settings, f"redis://127.0.0.1:{port}/0")
        options = settings.CACHES["redis"]["OPTIONS"] | {"SOCKET_TIMEOUT": 10}  # or a busy machine makes it a Redis that hangs
        settings.CACHES = settings.CACHES | {"redis": settings.CACHES["redis"] | {"OPTIONS": options}}
        asked = [is_asked(store) for _ in range(30)]
        time.sleep(0.5)

        assert not is_asked(store)

    assert asked.count(True) == shared_store.SLOW_IN_A_ROW
    assert asked[0]
    [record] = caplog.records
    assert record.reason == "slow"


def test_a_few_slow_answers_are_forgiven(redis, store, monkeypatch):
    monkeypatch.setattr(shared_store, "SLOW_SECONDS", 0.2)  # a busy machine takes its time for a fast one too
    monkeypatch.setattr(shared_store, "SLOW_IN_A_ROW", 3)
    for _ in range(3):
        for _ in range(shared_store.SLOW_IN_A_ROW - 1):
            store.ask(lambda: time.sleep(shared_store.SLOW_SECONDS * 1.1))
        store.ask(lambda: None)

    assert is_asked(store)


@pytest.mark.parametrize("password", ["", "not the password of this Redis"])
def test_a_wrong_password_is_an_outage_and_stands_in_no_log(settings, store, caplog, password):
    with redis_server(password="the password of this Redis") as redis:
        point_to(settings, f"redis://:{password}@127.0.0.1:{redis.port}/0")

        with caplog.at_level(logging.DEBUG):
            assert not is_asked(store)
            store.watch()

    logged = "\n".join(str(vars(record)) for record in caplog.records)
    assert "Redis is away" in logged
    assert "password" not in logged
    assert str(redis.port) not in logged


def test_a_right_password_is_used(settings, store):
    with redis_server(password="with-a,comma") as redis:
        point_to(settings, redis.url)

        assert ping(store)


def test_a_bug_in_a_question_is_no_outage(redis, store):
    with pytest.raises(KeyError):
        store.ask(lambda: {}["missing"])

    assert is_asked(store)


# --- What counting makes of it -------------------------------------------------------------------


@pytest.fixture
def take(settings):
    """Ask for one of three that an address has in a minute."""
    settings.RATE_LIMIT_PER_IP = Rate(3, timedelta(minutes=1))

    def once():
        try:
            throttling.take(REQUESTS, address=HERE)
        except Throttled:
            return "throttled"
        return "ok"

    return once


@pytest.mark.parametrize("happens", ["kill", "freeze"])
def test_without_redis_this_process_counts_at_once(redis, take, happens):
    assert take() == "ok"

    getattr(redis, happens)()

    assert [take() for _ in range(4)] == ["ok", "ok", "ok", "throttled"]


def test_a_redis_that_dies_between_two_questions_of_one_count_refuses_nobody(redis, take):
    assert take() == "ok"
    redis.kill()

    assert CeilingStore("", {}).incr("counted-in-redis-alone") == 1
    assert take() == "ok"


def test_a_redis_that_was_emptied_counts_anew(redis, take):
    assert [take() for _ in range(4)] == ["ok", "ok", "ok", "throttled"]

    redis.flush()

    assert [take() for _ in range(4)] == ["ok", "ok", "ok", "throttled"]


def test_a_redis_that_takes_no_writes_is_an_outage(redis, take):
    with redis.client() as client:
        client.config_set("maxmemory", 1)
        client.config_set("maxmemory-policy", "noeviction")

    assert [take() for _ in range(4)] == ["ok", "ok", "ok", "throttled"]
    assert not is_asked(shared_store.shared)
