"""The instances of the server know of each other, and say when they do not go together."""

import json
import logging
import os
from datetime import timedelta

import pytest
from django.db import OperationalError
from prometheus_client import REGISTRY

from accounts.clock import Instant
from authserver import __version__, caches
from authserver import settings as server_settings
from oauth import instances
from oauth.models import Instance
from tests.redis import redis_server

pytestmark = pytest.mark.django_db


@pytest.fixture
def neighbours(monkeypatch):
    """This process's view, as of its start."""
    made = instances.Neighbours()
    monkeypatch.setattr(instances, "neighbours", made)
    return made


@pytest.fixture
def other():
    """Another instance that runs, with these settings."""

    def make(pk="other", *, seen=timedelta(0), uses_redis=False, host="b.example.com", version="0.1.0", **fingerprints):
        at = Instant(plus=-seen)
        row = {"host": host, "port": 8003, "version": version, "uses_redis": uses_redis, "started_at": at, "seen_at": at}
        Instance.objects.create(pk=pk, fingerprints=instances.fingerprints() | fingerprints, **row)
        return Instance.objects.get(pk=pk)

    return make


def test_an_instance_writes_itself_down_once_and_then_now_and_then(neighbours, later, count_statements):
    neighbours.look()
    first = Instance.objects.get()
    with count_statements() as soon:
        neighbours.look()
    later(seconds=16)
    neighbours.look()

    assert len(soon) == 1  # it looks, and writes nothing
    again = Instance.objects.get()
    assert (again.pk, again.started_at) == (instances.ID, first.started_at)
    assert again.seen_at - first.seen_at >= timedelta(seconds=16)
    assert (again.host, again.version) == (os.uname().nodename, __version__)


def test_all_processes_of_a_server_write_one_row(neighbours):
    neighbours.look()
    instances.Neighbours().look()

    assert Instance.objects.count() == 1


def test_who_is_not_seen_for_a_while_is_not_alive_and_then_removed(neighbours, other):
    other(seen=timedelta(seconds=90))
    neighbours.look()
    assert [row.pk for row in instances.alive()] == [instances.ID]
    assert Instance.objects.count() == 2

    Instance.objects.filter(pk="other").update(seen_at=Instant(plus=-timedelta(minutes=11)))
    instances.write()

    assert Instance.objects.get().pk == instances.ID


def test_who_was_killed_in_this_place_is_forgotten_by_who_begins_there(other, later, settings):
    other("killed", host=os.uname().nodename)
    other("beside", host=os.uname().nodename)
    Instance.objects.filter(pk="beside").update(port=settings.PORT + 1)

    instances.Neighbours().look()

    assert {row.pk for row in instances.alive()} == {"beside", instances.ID}


def test_who_ends_takes_its_row_away(neighbours, other):
    other()
    neighbours.look()

    instances.leave()

    assert Instance.objects.get().pk == "other"


def test_two_without_redis_are_a_warning_and_one_is_none(neighbours, other, client, signing_key):
    neighbours.look()
    assert client.get("/ready").json() == {"status": "ok", "database": "ok", "signing_key": "ok"}

    other()
    neighbours.look()

    response = client.get("/ready")
    assert response.status_code == 200
    assert response.json()["warnings"] == ["instances_without_redis"]
    assert REGISTRY.get_sample_value("auth_instances", {"state": "alive"}) == 2
    assert REGISTRY.get_sample_value("auth_instance_warnings", {"warning": "instances_without_redis"}) == 1
    assert REGISTRY.get_sample_value("auth_instance_warnings", {"warning": "settings_differ"}) == 0


def test_settings_that_differ_are_a_warning_that_names_them_in_the_log_alone(neighbours, other, client, signing_key, caplog):
    other(JWT_ISSUER="another")

    with caplog.at_level(logging.WARNING):
        neighbours.look()
        neighbours.look()

    assert client.get("/health").json()["warnings"] == ["instances_without_redis", "settings_differ"]
    [record] = [record for record in caplog.records if record.name == "oauth.instances"]
    assert record.settings_that_differ == ["JWT_ISSUER"]
    assert "JWT_ISSUER" not in client.get("/health").content.decode()


def test_a_probe_asks_the_database_nothing_about_the_instances(neighbours, other, client, signing_key, count_statements):
    other()
    neighbours.look()

    with count_statements() as statements:
        assert client.get("/ready").json()["warnings"]

    assert not [query for query in statements.captured_queries if "oauth_instance" in query["sql"]]


@pytest.mark.parametrize("name", instances.SAME_EVERYWHERE)
def test_every_setting_that_is_compared_makes_a_difference(settings, name):
    before = instances.fingerprints()

    setattr(settings, name, "another")

    assert {key for key, value in instances.fingerprints().items() if value != before[key]} == {name}


def test_every_setting_that_is_compared_is_one_that_an_operator_can_mend():
    assert {f"AUTH_SERVICE__{name}" for name in instances.SAME_EVERYWHERE} <= server_settings.env._known


def test_every_setting_is_compared_or_may_differ():
    may_differ = {
        *("DATA_DIR", "ENV", "PORT", "LOG_FORMAT", "LOG_LEVEL", "METRICS_TOKEN", "DRAIN_SECONDS"),  # of a place
        *("DB_URL", "DB_BEHIND_POOLER"),  # this database, by whatever way
        "REDIS_URL",  # whether there is one, and the same, its mark tells
        *("EMAIL_URL", "HOUSEKEEPING"),  # one that does it is enough
        "LIBARGON2",  # of the processor; the hashes are the same
        *("MASTER_KEY", "PRIVATE_KEY_PATH", "PRIVATE_KEY_ID", "PUBLIC_KEY_PATH"),  # of the first start alone
    }

    known = {name.removeprefix("AUTH_SERVICE__").removesuffix("_FILE") for name in server_settings.env._known if "AUTH_SERVICE__" in name}

    assert sorted(known) == sorted([*instances.SAME_EVERYWHERE, *instances.SECRETS_OF_ALL, *may_differ])


@pytest.mark.parametrize("name", instances.SECRETS_OF_ALL)
def test_every_secret_makes_a_difference(settings, name):
    before = instances.fingerprints()

    setattr(settings, name, ("another secret of the tests, and of nothing else",))

    assert {key for key, value in instances.fingerprints().items() if value != before[key]} == {instances.SECRETS}


def test_the_order_of_proxies_and_origins_makes_none_and_that_of_token_keys_does(settings):
    settings.TRUSTED_PROXIES, settings.TOKEN_KEYS = ("10.0.0.0/8", "127.0.0.1/32"), ("a" * 32, "b" * 32)
    before = instances.fingerprints()
    settings.TRUSTED_PROXIES, settings.ALLOWED_HOSTS = settings.TRUSTED_PROXIES[::-1], settings.ALLOWED_HOSTS[::-1]
    assert instances.fingerprints() == before

    settings.TOKEN_KEYS = settings.TOKEN_KEYS[::-1]

    assert instances.fingerprints() != before


def test_no_secret_and_nothing_made_of_one_alone_is_in_the_row(neighbours, settings):
    neighbours.look()

    stored = json.dumps(Instance.objects.values_list("fingerprints", "host", "version", "pk").get())

    for secret in (settings.SECRET_KEY, *settings.TOKEN_KEYS, *settings.KEY_ENCRYPTION_KEYS):
        assert secret not in stored
    # Who knows one of them, or tries guesses at it, finds nothing to compare them with.
    known = instances._fingerprint_of_secrets()
    settings.SECRET_KEY = "what a thief does not know"
    assert instances._fingerprint_of_secrets() != known


def test_a_setting_that_an_earlier_version_does_not_tell_of_is_passed_over(other):
    row = other(version="0.0.9")
    instances.write()
    del row.fingerprints["JWT_ISSUER"]
    row.save()

    assert instances.differences(list(instances.alive())) == {}


def test_an_instance_leaves_its_mark_in_redis_and_two_on_one_redis_are_no_warning(neighbours, other, redis):
    row = other(uses_redis=True)
    neighbours.look()

    assert neighbours.warnings() == ()
    assert instances.has_mark(Instance.objects.get(pk=instances.ID)) is True
    assert instances.has_mark(row) is False
    assert 500 < redis.client().ttl(f"authserver:instance:{instances.ID}") <= 600


def test_nobody_waits_for_a_redis_that_is_away(neighbours, settings):
    with redis_server() as gone:
        settings.REDIS_URL = gone.url
    settings.CACHES = caches.settings_of(settings.REDIS_URL)

    neighbours.look()

    assert Instance.objects.get().uses_redis is True
    assert instances.has_mark(Instance.objects.get()) is None


def test_what_goes_wrong_ends_the_round_and_not_the_thread(neighbours, monkeypatch, caplog):
    def fail(error):
        raise error

    monkeypatch.setattr(instances.connection, "close", lambda: None)  # it is the test's own
    for error in (OperationalError("a text that is not told"), KeyError("a bug")):
        monkeypatch.setattr(neighbours, "look", lambda error=error: fail(error))
        neighbours._look_or_report()

    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR"]
    assert "a text that is not told" not in caplog.text


def test_the_connections_to_postgresql_are_measured(neighbours):
    from django.db import connection

    neighbours.look()

    if connection.vendor == "postgresql":
        used, most = (REGISTRY.get_sample_value("auth_database_connections", {"kind": kind}) for kind in ("used", "most"))
        assert 1 <= used <= most < 1000
