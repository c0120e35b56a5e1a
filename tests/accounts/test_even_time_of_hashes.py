"""A refusal takes the same time whatever kind of hash is stored, and no longer than it has to (accounts/even_time.py).

The name of this module has "hash" in it, so the real hashers run here (tests/conftest.py).
"""

import time

import bcrypt
import pytest
from django.contrib.auth.hashers import MD5PasswordHasher, get_hasher

from accounts import even_time
from accounts.authentication import AuthenticationFailed
from accounts.even_time import Beat, pace
from accounts.foreign_hashes import translate
from accounts.models import User
from tests.accounts.attempts import authenticate
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db

B64 = "A" * 43
SCRYPT_B64 = "A" * 86 + "=="


@pytest.fixture(autouse=True)
def _new_pace(monkeypatch):
    """As in a process that has just begun, and ends with the test."""
    monkeypatch.setattr(pace, "seconds", 0.0)
    monkeypatch.setattr(pace, "_measured", {})


def give(user, encoded):
    User.objects.filter(pk=user.pk).update(password=encoded)


def pbkdf2(password, *, iterations):
    return get_hasher("pbkdf2_sha256").encode(password, "saltsaltsalt", iterations)


def seconds_until_refused(identifier, password):
    """At best: on a machine that is busy an attempt may miss a beat. Each from another address, or the name would be locked."""
    seconds = []
    for last_part in range(40):
        started = time.monotonic()
        with pytest.raises(AuthenticationFailed):
            authenticate(identifier, password=password, address=f"192.0.2.{last_part}")
        seconds.append(time.monotonic() - started)
        if seconds[-1] < 1.2 * pace.seconds:
            break
    return min(seconds)


def test_a_server_with_hashes_of_its_own_alone_sleeps_nothing(alice, bob, make_user):
    make_user("passwordless", password=None)

    pace.reload()

    assert pace.seconds == 0.0
    assert pace._measured == {}


@pytest.mark.checklist(35)
@pytest.mark.checklist(56)
def test_every_refusal_takes_the_same_time_while_an_imported_hash_is_stored(alice, make_user, monkeypatch):
    monkeypatch.setattr(even_time, "MARGIN", 10.0)  # or on a busy machine the slow one misses its beat, as it may there
    give(make_user("moved"), pbkdf2(PASSWORD, iterations=300_000))
    make_user("disabled", is_active=False)
    make_user("passwordless", password=None)
    pace.reload()
    refused = [("moved", "wrong"), ("alice", "wrong"), ("nobody", PASSWORD), ("disabled", PASSWORD), ("passwordless", PASSWORD)]

    seconds = {identifier: seconds_until_refused(identifier, password) for identifier, password in refused}

    assert pace.seconds > 0.1
    assert min(seconds.values()) >= pace.seconds
    assert max(seconds.values()) < 1.2 * pace.seconds, seconds


def test_a_sign_in_waits_for_nothing(alice, bob):
    give(bob, pbkdf2(PASSWORD, iterations=2_000_000))
    pace.reload()
    started = time.monotonic()

    authenticate("alice", password=PASSWORD)

    assert time.monotonic() - started < pace.seconds


def test_the_beat_covers_the_slowest_kind_and_goes_when_the_last_one_has_gone(alice, bob):
    give(alice, pbkdf2(PASSWORD, iterations=100_000))
    pace.reload()
    fast = pace.seconds
    give(bob, pbkdf2(PASSWORD, iterations=1_000_000))
    pace.reload()

    assert pace.seconds > 3 * fast

    authenticate("bob", password=PASSWORD)
    pace.reload()
    assert pace.seconds == fast

    authenticate("alice", password=PASSWORD)
    pace.reload()
    assert pace.seconds == 0.0


def test_one_hash_of_each_kind_and_cost_is_measured_once(make_user):
    hashes = [
        pbkdf2(PASSWORD, iterations=1000),
        pbkdf2("another password", iterations=1000),
        pbkdf2(PASSWORD, iterations=2000),
        translate(f"pbkdf2_sha1$1000$salt${'A' * 27}="),
        translate(f"$pbkdf2-sha256$1000$AAAA${B64}"),
        translate(f"scrypt$1024$salt$8$1${SCRYPT_B64}"),
        translate(f"scrypt$1024$pepper$8$1${SCRYPT_B64}"),
        translate(f"scrypt$1024$salt$8$5${SCRYPT_B64}"),
        translate(f"scrypt$1024$salt$4$5${SCRYPT_B64}"),
        translate(f"$argon2id$v=19$m=8192,t=1,p=1$c29tZXNhbHQ${B64}"),
        translate(f"$argon2id$v=19$m=8192,t=2,p=1$c29tZXNhbHQ${B64}"),
        translate(f"$argon2i$v=19$m=8192,t=2,p=1$c29tZXNhbHQ${B64}"),
        *(translate(bcrypt.hashpw(b"a password", bcrypt.gensalt(cost)).decode()) for cost in (4, 4, 5)),
        get_hasher("bcrypt_sha256").encode(PASSWORD, bcrypt.gensalt(4)),
    ]
    for number, encoded in enumerate(hashes):
        give(make_user(f"user{number}"), encoded)
    make_user("ours")

    pace.reload()
    measured = dict(pace._measured)
    pace.reload()

    assert len(measured) == 13 + 1  # and our own
    assert pace._measured == measured


@pytest.mark.parametrize("corrupt", ["", "plain text", "argon2$", "pbkdf2_sha256$many$salt$AAAA", "bcrypt$", "scrypt$", "md5$salt$AAAA"])
def test_a_corrupt_hash_stops_nothing(alice, bob, corrupt):
    give(alice, corrupt)
    give(bob, pbkdf2(PASSWORD, iterations=1000))

    pace.reload()

    assert 0.0 < pace.seconds < 1.0


def test_who_misses_a_beat_waits_for_the_next():
    beat = Beat(0.5)
    started = time.monotonic()
    time.sleep(0.51)

    beat.wait()

    assert 1.0 <= time.monotonic() - started < 1.5


class Failing(MD5PasswordHasher):
    algorithm = "failing"

    def verify(self, password, encoded):
        raise RuntimeError("whatever it is")


@pytest.mark.django_db(transaction=True)
def test_what_goes_wrong_while_the_kinds_are_read_is_logged_and_leaves_the_beat(alice, bob, settings, caplog):
    give(alice, pbkdf2(PASSWORD, iterations=1000))
    pace.reload()
    before = pace.seconds
    settings.PASSWORD_HASHERS = [*settings.PASSWORD_HASHERS, f"{__name__}.Failing"]
    give(bob, "failing$salt$hash")

    pace._reload_or_report()

    assert "could not be read" in caplog.text
    assert pace.seconds == before > 0.0
