"""What one address may send is counted in its own window, in Redis or in this process, and nobody else's count is touched."""

import pickle
from datetime import timedelta
from itertools import cycle

import pytest
from django.core import checks
from django.core.cache import caches
from django_ratelimit import core as ratelimit
from prometheus_client import REGISTRY

from accounts import throttling
from accounts.addresses import client_address
from accounts.throttling import FAILED_CLIENTS, FAILED_PASSWORDS, REQUESTS, Throttled
from authserver.env import Rate

HERE, THERE = "192.0.2.1", "198.51.100.7"
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def _low(settings):
    settings.RATE_LIMIT_PER_IP = settings.RATE_LIMIT_FAILURES_PER_IP = Rate(3, MINUTE)


@pytest.fixture(params=["in this process", "in Redis"])
def _either_store(request):
    if request.param == "in Redis":
        request.getfixturevalue("redis")


def is_left(ceiling=REQUESTS, *, address=HERE):
    try:
        throttling.ensure_left(ceiling, address=address)
    except Throttled:
        return False
    return True


def take_times(count, ceiling=REQUESTS, *, address=HERE):
    for _ in range(count):
        throttling.take(ceiling, address=address)


@pytest.mark.usefixtures("_either_store")
def test_one_more_than_the_ceiling_allows_is_refused_until_the_window_ends():
    take_times(3)

    with pytest.raises(Throttled) as refused:
        throttling.take(REQUESTS, address=HERE)

    assert refused.value.ceiling == REQUESTS
    assert 1 <= refused.value.seconds <= 60


@pytest.mark.usefixtures("_either_store")
def test_the_counts_of_two_addresses_are_two():
    take_times(3)

    assert not is_left()
    take_times(3, address=THERE)


@pytest.mark.usefixtures("_either_store")
def test_the_counts_of_two_ceilings_are_two():
    take_times(3, FAILED_CLIENTS)

    assert not is_left(FAILED_CLIENTS)
    assert is_left(FAILED_PASSWORDS)


@pytest.mark.usefixtures("_either_store")
def test_asking_whether_something_is_left_counts_nothing():
    take_times(2)

    assert all(is_left() for _ in range(10))
    take_times(1)
    assert not is_left()


@pytest.mark.usefixtures("_either_store")
def test_what_has_happened_is_counted_beyond_the_ceiling_without_a_refusal():
    for _ in range(5):
        throttling.record(FAILED_PASSWORDS, address=HERE)

    assert not is_left(FAILED_PASSWORDS)


@pytest.mark.usefixtures("_either_store")
def test_the_next_window_begins_at_nothing_when_the_refusal_says(later):
    take_times(3)
    with pytest.raises(Throttled) as refused:
        throttling.take(REQUESTS, address=HERE)

    later(seconds=refused.value.seconds - 1)
    assert not is_left()
    later(seconds=1)

    take_times(3)


class Ticking:
    """A second ends between each two looks."""

    def __init__(self, *seconds):
        self._seconds = cycle(seconds)

    def time(self):
        return next(self._seconds)


def test_who_is_refused_while_the_window_ends_is_not_told_to_come_back_in_no_time(monkeypatch):
    last = ratelimit._get_window(HERE, 60)
    monkeypatch.setattr(ratelimit, "time", Ticking(last, last + 1))
    take_times(3)

    with pytest.raises(Throttled) as refused:
        throttling.take(REQUESTS, address=HERE)

    assert refused.value.seconds == 1


@pytest.mark.checklist(46)
def test_all_addresses_of_a_64_are_one_and_the_next_64_is_another():
    for number in range(3):
        throttling.take(REQUESTS, address=f"2001:db8:0:1::{number:x}")

    assert not is_left(address="2001:db8:0:1:ffff::1")
    assert is_left(address="2001:db8:0:2::1")


@pytest.mark.checklist(46)
def test_an_ipv4_address_in_ipv6_clothes_is_that_address():
    take_times(3, address=client_address(peer=f"::ffff:{HERE}", forwarded_for="", trusted=()))

    assert not is_left()


def test_nothing_is_counted_or_refused_when_ceilings_are_off(settings):
    settings.ENABLE_RATE_LIMITING = False
    take_times(10)

    settings.ENABLE_RATE_LIMITING = True
    take_times(3)


def test_a_refusal_is_counted_under_its_ceiling():
    before = REGISTRY.get_sample_value("auth_rate_limited_total", {"ceiling": REQUESTS}) or 0

    with pytest.raises(Throttled):
        take_times(5)

    assert REGISTRY.get_sample_value("auth_rate_limited_total", {"ceiling": REQUESTS}) == before + 1


def test_a_full_memory_forgets_the_addresses_that_were_quiet_longest(settings):
    settings.CACHES = settings.CACHES | {"default": settings.CACHES["default"] | {"OPTIONS": {"MAX_ENTRIES": 30}}}
    take_times(3)

    for number in range(200):
        throttling.take(REQUESTS, address=f"203.0.113.{number}")
        assert not is_left()

    assert len(caches["default"]._cache) <= 30


@pytest.mark.parametrize(
    ("processes", "redis_url", "enabled", "warned"),
    [(2, "", True, True), (1, "", True, False), (2, "redis://localhost", True, False), (2, "", False, False)],
)
def test_processes_that_cannot_count_together_are_warned_of(settings, processes, redis_url, enabled, warned):
    settings.PROCESSES, settings.REDIS_URL, settings.ENABLE_RATE_LIMITING = processes, redis_url, enabled

    messages = checks.run_checks(tags=[checks.Tags.security], include_deployment_checks=True)

    assert ("accounts.W004" in {message.id for message in messages}) is warned


# --- What is asked of Redis ----------------------------------------------------------------------


def test_the_address_stands_in_no_key_of_redis_and_every_key_has_an_end(redis):
    take_times(2)
    throttling.record(FAILED_PASSWORDS, address=HERE)

    with redis.client() as client:
        keys = client.keys("*")
        assert len(keys) == 2
        assert all(key.startswith("authserver:") and HERE not in key for key in keys)
        assert all(0 < client.ttl(key) <= 65 for key in keys)


def test_two_processes_count_together(redis):
    take_times(2)
    caches["default"].clear()  # what another process has not

    take_times(1)

    assert not is_left()


class Planted:
    """Unpickled, it would raise an error that nobody catches."""

    def __reduce__(self):
        return exec, ("raise SystemError('code out of Redis was run')",)


@pytest.mark.parametrize("value", ["not a number", pickle.dumps(Planted())])
def test_what_others_wrote_into_redis_is_neither_run_nor_counted(redis, value):
    take_times(1)
    with redis.client() as client:
        [key] = client.keys("*")
        client.set(key, value)

    assert is_left()
    take_times(3)
