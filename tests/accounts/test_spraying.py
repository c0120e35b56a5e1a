"""Few guesses at each of many names are noticed and told once an hour, and no name is kept for it."""

import logging

import pytest
from prometheus_client import REGISTRY

from accounts import clock, name_counts, spraying
from accounts.authentication import AuthenticationFailed
from accounts.lockout import digest_of
from accounts.models import AuditEvent
from tests.accounts.attempts import authenticate
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db

EVENT = "network:password_spraying:detected"
NETWORK = "192.0.2.0/24"


@pytest.fixture(autouse=True)
def _no_ceilings(settings):
    settings.ENABLE_RATE_LIMITING = False


@pytest.fixture(autouse=True)
def _the_hour_has_just_begun(later):
    """Names are counted by the hour: one that ended within a test would forget them."""
    later(seconds=1 + name_counts.WINDOW_SECONDS - clock.now().timestamp() % name_counts.WINDOW_SECONDS)


@pytest.fixture(params=["in this process", "in Redis"])
def _either_store(request):
    if request.param == "in Redis":
        request.getfixturevalue("redis")


def fail(name, *, address="192.0.2.1"):
    spraying.record_failure(digest_of(name), address=address)


def spray(count, *, address="192.0.2.1"):
    for number in range(count):
        fail(f"somebody-{number}", address=address)


def events():
    return list(AuditEvent.objects.filter(event=EVENT).order_by("pk"))


def told():
    return REGISTRY.get_sample_value("auth_password_spraying_detected_total") or 0


@pytest.mark.usefixtures("_either_store")
def test_many_names_from_one_network_are_told_once(caplog):
    before = told()
    spray(spraying.NAMES_OF_A_NETWORK - 1)
    assert events() == []

    with caplog.at_level(logging.WARNING):
        spray(spraying.NAMES_OF_A_NETWORK * 2)

    [event] = events()
    assert event.target == NETWORK
    assert event.detail == {"names": spraying.NAMES_OF_A_NETWORK, "window_seconds": 3600}
    assert told() == before + 1
    assert [(record.message, record.network) for record in caplog.records] == [("passwords are being sprayed", NETWORK)]


@pytest.mark.usefixtures("_either_store")
def test_all_addresses_of_a_network_are_one():
    for number in range(spraying.NAMES_OF_A_NETWORK):
        fail(f"somebody-{number}", address=f"2001:db8::{number:x}")

    assert [event.target for event in events()] == ["2001:db8::/64"]


@pytest.mark.usefixtures("_either_store")
def test_one_name_however_often_it_fails_is_no_spraying():
    for _ in range(spraying.NAMES_OF_A_NETWORK * 3):
        fail("alice")

    assert events() == []


@pytest.mark.usefixtures("_either_store")
def test_each_network_is_told_of_for_itself():
    spray(spraying.NAMES_OF_A_NETWORK)
    spray(spraying.NAMES_OF_A_NETWORK, address="198.51.100.7")

    assert [event.target for event in events()] == [NETWORK, "198.51.100.0/24"]


@pytest.mark.usefixtures("_either_store")
def test_the_next_hour_counts_and_tells_anew(later):
    spray(spraying.NAMES_OF_A_NETWORK)

    later(hours=1)
    spray(spraying.NAMES_OF_A_NETWORK - 1)
    assert len(events()) == 1
    spray(spraying.NAMES_OF_A_NETWORK)

    assert len(events()) == 2


@pytest.mark.checklist(49)
@pytest.mark.usefixtures("_either_store")
def test_one_guess_at_each_of_many_names_from_as_many_networks_is_told_once():
    for number in range(spraying.NAMES_OF_ALL * 2):
        fail(f"somebody-{number}", address=f"10.{number // 250}.{number % 250}.1")

    [event] = events()
    assert event.target == "everywhere"
    assert event.detail["names"] == pytest.approx(spraying.NAMES_OF_ALL, rel=0.05)


@pytest.mark.usefixtures("_either_store")
def test_where_more_people_sign_in_than_fail_many_failures_are_an_ordinary_day():
    for number in range(spraying.NAMES_OF_ALL * 2):
        spraying.record_success(digest_of(f"somebody-{number}"))
    for number in range(spraying.NAMES_OF_ALL + 50):
        fail(f"somebody-{number}", address=f"10.{number // 250}.{number % 250}.1")

    assert events() == []


def test_a_door_tells_of_failures_and_of_successes(alice):
    authenticate("alice", password=PASSWORD)
    for number in range(spraying.NAMES_OF_A_NETWORK):
        with pytest.raises(AuthenticationFailed):
            authenticate(f"somebody-{number}", password="Winter2026!", address="203.0.113.9")

    assert [event.target for event in events()] == ["203.0.113.0/24"]
    assert name_counts.add_and_count(b"", to=(), of=("failed:everywhere", "verified:everywhere")) == (spraying.NAMES_OF_A_NETWORK, 1)


def test_who_signs_in_is_counted_with_others_at_once(redis):
    key = f"authserver:names:{int(clock.now().timestamp()) // name_counts.WINDOW_SECONDS}:verified:everywhere"
    with redis.client() as client:
        for number in range(name_counts.TOGETHER - 1):
            spraying.record_success(digest_of(f"somebody-{number}"))
        assert client.keys("*") == []

        spraying.record_success(digest_of("another"))

        assert client.pfcount(key) == name_counts.TOGETHER
        assert 0 < client.ttl(key) <= name_counts.WINDOW_SECONDS


def test_neither_names_nor_their_digests_stand_in_redis(redis):
    spray(spraying.NAMES_OF_A_NETWORK)

    with redis.client() as client:
        keys = client.keys("*")
        assert sorted(key.split(":", 3)[3] for key in keys) == [f"claimed:{NETWORK}", f"failed:{NETWORK}", "failed:everywhere"]
        assert all(0 < client.ttl(key) <= name_counts.WINDOW_SECONDS for key in keys)
    with redis.client(decode_responses=False) as client:
        values = b"".join(client.get(key) for key in keys)
    assert digest_of("somebody-1")[:8] not in values
    assert b"somebody" not in values


def test_two_processes_with_redis_tell_once_and_two_without_it_once_each(redis):
    spray(spraying.NAMES_OF_A_NETWORK)
    name_counts.here.forget()  # what another process has not
    spray(spraying.NAMES_OF_A_NETWORK)
    assert len(events()) == 1

    redis.kill()
    name_counts.here.forget()
    spray(spraying.NAMES_OF_A_NETWORK)

    assert len(events()) == 2


def test_what_a_process_keeps_is_bounded_and_the_newest_stay(monkeypatch):
    monkeypatch.setattr(name_counts, "KEPT_HERE", 50)
    for number in range(200):
        fail(f"somebody-{number}", address=f"10.0.{number}.1")

    assert len(name_counts.here._pairs) == 50
    assert sum(name_counts.here._counts.values()) == 50
    assert name_counts.add_and_count(b"", to=(), of=("failed:10.0.199.0/24", "failed:10.0.0.0/24")) == (1, 0)
