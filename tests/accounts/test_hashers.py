"""Passwords are hashed by Argon2id in Django's encoded form, and older hashes are renewed at sign-in (accounts/hashers.py).

The name of this module has "hash" in it, so the real hasher runs here (tests/conftest.py).
"""

import logging
import re
import time
import unicodedata

import pytest
from django.contrib.auth.hashers import Argon2PasswordHasher, PBKDF2PasswordHasher, ScryptPasswordHasher, check_password, make_password
from django.db import connection
from nacl import pwhash

from accounts import passwords
from accounts.authentication import AuthenticationFailed
from accounts.hashers import Argon2idHasher
from accounts.models import User
from tests.accounts.attempts import authenticate
from tests.conftest import PASSWORD

ENCODED = re.compile(r"argon2\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}")


class Computations(list):
    """The Argon2 computations so far, and what to do when the next one runs."""

    def before_the_next(self, act):
        self.act = act

    act = None


@pytest.fixture
def computations(monkeypatch):
    """Counts what libsodium is asked to compute; it computes all the same."""
    counted = Computations()

    def counting(name, compute):
        def count(*args, **kwargs):
            counted.append(name)
            act, counted.act = counted.act, None
            if act is not None:
                act()
            return compute(*args, **kwargs)

        return count

    monkeypatch.setattr(pwhash, "verify", counting("verify", pwhash.verify))
    monkeypatch.setattr(pwhash.argon2id, "kdf", counting("kdf", pwhash.argon2id.kdf))
    return counted


def stored_hash(user):
    return User.objects.values_list("password", flat=True).get(pk=user.pk)


def give_hash(user, encoded):
    User.objects.filter(pk=user.pk).update(password=encoded)


def reason_of_refusal(identifier, password):
    with pytest.raises(AuthenticationFailed) as refusal:
        authenticate(identifier, password=password)
    return refusal.value.reason


def argon2_of_another_cost(password):
    hasher = Argon2PasswordHasher()
    return hasher.encode(password, hasher.salt())


def pbkdf2(password):
    return PBKDF2PasswordHasher().encode(password, "saltsaltsaltsaltsaltsa", iterations=1000)


def scrypt(password):
    return ScryptPasswordHasher().encode(password, "saltsaltsaltsaltsaltsa", n=2**10)


OLDER_HASHES = [argon2_of_another_cost, pbkdf2, scrypt]


# --- The encoded form --------------------------------------------------------------------------


def test_a_password_is_stored_in_the_encoded_form_of_django(alice):
    assert ENCODED.fullmatch(stored_hash(alice))


def test_the_same_password_is_never_stored_the_same_way(alice, bob):
    assert stored_hash(alice) != stored_hash(bob)


def test_the_cost_follows_the_settings(settings):
    settings.ARGON2_MEMORY_KIB, settings.ARGON2_TIME_COST = 8192, 3

    encoded = make_password(PASSWORD)

    assert encoded.startswith("argon2$argon2id$v=19$m=8192,t=3,p=1$")
    assert check_password(PASSWORD, encoded)


@pytest.mark.parametrize("password", [PASSWORD, "длинный пароль", "🔑" * 20, "x"])
def test_a_hash_of_django_verifies_here(password):
    encoded = argon2_of_another_cost(password)

    assert encoded.startswith("argon2$argon2id$v=19$m=102400,t=2,p=8$")
    assert Argon2idHasher().verify(password, encoded)
    assert not Argon2idHasher().verify(password + "x", encoded)


@pytest.mark.parametrize("password", [PASSWORD, "длинный пароль", "🔑" * 20, "x"])
def test_a_hash_made_here_verifies_in_django(password):
    encoded = make_password(password)

    assert Argon2PasswordHasher().verify(password, encoded)
    assert not Argon2PasswordHasher().verify(password + "x", encoded)


def test_a_hash_is_summed_up_without_its_salt_and_itself():
    encoded = make_password(PASSWORD)
    salt, digest = encoded.split("$")[-2:]

    summary = Argon2idHasher().safe_summary(encoded)

    assert summary == {
        "algorithm": "argon2",
        "variety": "argon2id",
        "version": 19,
        "memory_cost": 19456,
        "time_cost": 2,
        "parallelism": 1,
    }
    assert salt[:6] not in str(summary)
    assert digest[:6] not in str(summary)


# --- What of the password counts ---------------------------------------------------------------


@pytest.mark.checklist(44)
@pytest.mark.parametrize(("set_as", "typed_as"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_password_of_another_keyboard_is_the_same_password(set_as, typed_as):
    encoded = make_password(unicodedata.normalize(set_as, "é" * 20))

    assert check_password(unicodedata.normalize(typed_as, "é" * 20), encoded)


def test_a_password_is_not_folded_further_than_that():
    encoded = make_password("ﬁona's password")

    assert not check_password("fiona's password", encoded)
    assert not check_password("ﬁona's Password", encoded)


@pytest.mark.checklist(44)
@pytest.mark.parametrize("position", [8, 55, 64, 72, 73, 127, 128, 255, 1023])
def test_each_character_of_a_long_password_counts(position):
    password = "p" * passwords.MAX_BYTES
    other = password[:position] + "q" + password[position + 1 :]
    encoded = make_password(password)

    assert check_password(password, encoded)
    assert not check_password(other, encoded)
    assert not check_password(password[:-1], encoded)


@pytest.mark.parametrize("password", [" leading", "trailing ", "in  between", "\ttab", "\u3000wide"])
def test_spaces_are_part_of_a_password(password):
    encoded = make_password(password)

    assert check_password(password, encoded)
    assert not check_password(" ".join(password.split()), encoded)


# --- What is never hashed ----------------------------------------------------------------------


@pytest.mark.parametrize("password", ["p" * 1025, "é" * 513, "🔑" * 257, "p" * 100_000])
def test_a_password_over_1024_bytes_is_refused_without_a_hash(alice, computations, password):
    assert reason_of_refusal("alice", password) == "password too long"
    assert reason_of_refusal("nobody", password) == "password too long"
    assert computations == []


def test_a_letter_with_thousands_of_marks_costs_no_time(alice, computations):
    password = "\u0315\u0300" * 16_000

    started = time.thread_time()
    reason = reason_of_refusal("alice", password)

    assert reason == "password too long"
    assert time.thread_time() - started < 0.1


@pytest.mark.parametrize("character", ["\u1f82", "\U0001d160", "한"])
def test_a_password_of_1024_bytes_in_its_composed_form_signs_in_however_it_is_typed(make_user, character):
    password = unicodedata.normalize("NFC", character * 10)
    password += "p" * (1024 - len(password.encode()))
    make_user("alice", password=password)

    assert authenticate("alice", password=unicodedata.normalize("NFD", password)).user.username == "alice"


@pytest.mark.parametrize("password", ["p" * 1024, "é" * 512, "🔑" * 256])
def test_a_password_of_1024_bytes_signs_in(make_user, password):
    alice = make_user("alice", password=password)

    assert authenticate("alice", password=password).user == alice


def test_the_length_of_a_password_is_that_of_the_form_which_is_hashed(make_user):
    password = "é" * 512
    alice = make_user("alice", password=password)

    assert authenticate("alice", password=unicodedata.normalize("NFD", password)).user == alice


# --- The same work, whatever is wrong ----------------------------------------------------------


@pytest.mark.checklist(35)
@pytest.mark.parametrize(
    ("identifier", "password", "reason"),
    [
        ("alice", "a wrong password", "wrong password"),
        ("alice@example.com", "a wrong password", "wrong password"),
        ("nobody", PASSWORD, "unknown user"),
        ("nobody@example.com", PASSWORD, "unknown user"),
        ("al\u200dice", PASSWORD, "unknown user"),
        ("", PASSWORD, "unknown user"),
        ("disabled", PASSWORD, "disabled user"),
        ("disabled", "a wrong password", "wrong password"),
        ("passwordless", PASSWORD, "unknown user"),
        ("hashless", PASSWORD, "unknown user"),
        ("imported", PASSWORD, "unknown user"),
    ],
)
def test_every_refusal_costs_one_computation(make_user, alice, computations, identifier, password, reason):
    make_user("disabled", is_active=False)
    make_user("passwordless", password=None)
    give_hash(make_user("hashless"), "")
    give_hash(make_user("imported"), "md5$salt$0123456789abcdef0123456789abcdef")
    computations.clear()

    assert reason_of_refusal(identifier, password) == reason
    assert len(computations) == 1


def test_a_sign_in_costs_one_computation(alice, computations):
    computations.clear()

    authenticate("alice", password=PASSWORD)

    assert computations == ["verify"]


CORRUPT = [
    "argon2",
    "argon2$",
    "argon2$argon2id",
    "argon2$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$",
    "argon2$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$!!!!",
    "argon2$argon2id$v=19$m=19456,t=2,p=1$$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "argon2$argon2id$v=19$m=x,t=y,p=z$c2FsdHNhbHRzYWx0c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "argon2$argon2id$v=19$m=99999999,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "argon2$argon2d$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "argon2$argon2id$v=16$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "argon2$" + "A" * 121,
    "argon2$приве́т",
    "pbkdf2_sha256$",
    "pbkdf2_sha256$1000$salt",
    "pbkdf2_sha256$many$salt$AAAA",
    "scrypt$",
    "scrypt$salt$16384$8",
    "scrypt$n$salt$8$1$AAAA",
    "unknown$1$salt$AAAA",
    "plain text",
    "$",
    "0123456789abcdef0123456789abcdef",
]


@pytest.mark.parametrize("encoded", CORRUPT)
def test_a_corrupt_hash_is_a_wrong_password_and_no_failure_of_the_server(alice, encoded):
    give_hash(alice, encoded)

    assert reason_of_refusal("alice", PASSWORD) in {"wrong password", "unknown user"}


# --- Renewal at sign-in ------------------------------------------------------------------------


def test_a_hash_of_this_cost_is_left_as_it_is(alice):
    before = stored_hash(alice)

    authenticate("alice", password=PASSWORD)

    assert stored_hash(alice) == before


@pytest.mark.parametrize(
    "parameters",
    ["m=8192,t=2,p=1", "m=65536,t=2,p=1", "m=19456,t=1,p=1", "m=19456,t=3,p=1", "m=19456,t=2,p=2"],
)
def test_a_hash_of_another_cost_must_be_updated(parameters):
    encoded = make_password(PASSWORD)
    assert not Argon2idHasher().must_update(encoded)

    assert Argon2idHasher().must_update(encoded.replace("m=19456,t=2,p=1", parameters))


@pytest.mark.parametrize(("form", "other"), [("argon2id", "argon2i"), ("v=19", "v=16")])
def test_a_hash_of_another_kind_of_argon2_must_be_updated(form, other):
    assert Argon2idHasher().must_update(make_password(PASSWORD).replace(form, other))


@pytest.mark.checklist(56)
@pytest.mark.parametrize("older_hash", OLDER_HASHES)
def test_signing_in_renews_an_older_hash(alice, older_hash):
    give_hash(alice, older_hash(PASSWORD))

    authenticate("alice", password=PASSWORD)

    assert ENCODED.fullmatch(stored_hash(alice))
    assert authenticate("alice", password=PASSWORD).user == alice


@pytest.mark.checklist(56)
@pytest.mark.parametrize("older_hash", OLDER_HASHES)
def test_a_wrong_password_renews_nothing(alice, older_hash):
    before = older_hash(PASSWORD)
    give_hash(alice, before)

    assert reason_of_refusal("alice", "a wrong password") == "wrong password"
    assert stored_hash(alice) == before


def test_a_disabled_user_renews_nothing(make_user):
    alice = make_user("alice", is_active=False)
    before = pbkdf2(PASSWORD)
    give_hash(alice, before)

    assert reason_of_refusal("alice", PASSWORD) == "disabled user"
    assert stored_hash(alice) == before


def test_renewing_a_hash_ends_no_session(alice):
    give_hash(alice, pbkdf2(PASSWORD))

    authenticate("alice", password=PASSWORD)

    assert User.objects.get(pk=alice.pk).session_epoch == alice.session_epoch


@pytest.mark.checklist(56)
@pytest.mark.django_db(transaction=True)  # another thread computes, with a connection of its own
def test_renewing_a_hash_leaves_alone_a_password_that_was_changed_meanwhile(alice, computations):
    give_hash(alice, pbkdf2(PASSWORD))
    changed = scrypt("the password that alice has just set")

    def change():  # while the renewed hash is computed
        give_hash(alice, changed)
        connection.close()

    computations.before_the_next(change)

    authenticate("alice", password=PASSWORD)

    assert computations == ["kdf"]
    assert stored_hash(alice) == changed


@pytest.fixture
def unwritable_passwords():
    """A database that refuses to change a password, and takes everything else."""
    make, drop = {
        "postgresql": (
            (
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''full''; END'",
                "CREATE TRIGGER refuse BEFORE UPDATE OF password ON accounts_user FOR EACH ROW EXECUTE FUNCTION refuse()",
            ),
            ("DROP TRIGGER refuse ON accounts_user", "DROP FUNCTION refuse"),
        ),
        "sqlite": (
            ("CREATE TRIGGER refuse BEFORE UPDATE OF password ON accounts_user BEGIN SELECT RAISE(FAIL, 'full'); END",),
            ("DROP TRIGGER refuse",),
        ),
    }[connection.vendor]

    def run(statements):
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    yield lambda: run(make)
    run(drop)


@pytest.mark.checklist(56)
@pytest.mark.django_db(transaction=True)
def test_a_hash_that_cannot_be_renewed_keeps_nobody_out(alice, unwritable_passwords, caplog):
    older = pbkdf2(PASSWORD)
    give_hash(alice, older)
    unwritable_passwords()

    with caplog.at_level(logging.ERROR, logger="accounts.authentication"):
        authenticated = authenticate("alice", password=PASSWORD)

    assert authenticated.user == alice
    assert stored_hash(alice) == older
    assert [record.user_id for record in caplog.records] == [alice.pk]
    assert PASSWORD not in caplog.text
    assert older not in caplog.text
