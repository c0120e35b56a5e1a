"""Hashes of other systems are taken in, verify, have a limit to their cost, and give way to Argon2id (accounts/foreign_hashes.py).

The name of this module has "hash" in it, so the real hashers run here (tests/conftest.py).
"""

import base64
import hashlib
import logging
import unicodedata

import bcrypt
import pytest
from django.contrib.auth import hashers
from django.contrib.auth.hashers import check_password, get_hasher
from django.db import connection

from accounts.authentication import AuthenticationFailed
from accounts.foreign_hashes import InvalidHash, translate
from accounts.models import User
from tests.accounts.attempts import authenticate
from tests.conftest import PASSWORD

OURS = "argon2$argon2id$v=19$m=19456,t=2,p=1$"


def passlib_pbkdf2(password, *, iterations=1000, salt=bytes(range(240, 256))):
    def ab64(value):
        return base64.b64encode(value).decode().rstrip("=").replace("+", ".")

    return f"$pbkdf2-sha256${iterations}${ab64(salt)}${ab64(hashlib.pbkdf2_hmac('sha256', password.encode(), salt, iterations))}"


def django_argon2(password):
    hasher = hashers.Argon2PasswordHasher()
    return hasher.encode(password, hasher.salt())


def plain_bcrypt(password, prefix=b"2b"):
    return bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4, prefix[:1] + b"b")).decode().replace("$2b$", f"${prefix.decode()}$")


# How the systems that people come from write a password.
EXPORTED = {
    "Django's argon2": django_argon2,
    "Django's pbkdf2_sha256": lambda password: hashers.PBKDF2PasswordHasher().encode(password, "saltsaltsalt", 1000),
    "Django's pbkdf2_sha1": lambda password: hashers.PBKDF2SHA1PasswordHasher().encode(password, "saltsaltsalt", 1000),
    "Django's scrypt": lambda password: hashers.ScryptPasswordHasher().encode(password, "saltsaltsalt", n=2**10),
    "Django's bcrypt": lambda password: "bcrypt$" + plain_bcrypt(password),
    "Django's bcrypt_sha256": lambda password: hashers.BCryptSHA256PasswordHasher().encode(password, bcrypt.gensalt(4)),
    "raw argon2id": lambda password: django_argon2(password).removeprefix("argon2"),
    "raw bcrypt 2a": lambda password: plain_bcrypt(password, b"2a"),
    "raw bcrypt 2b": plain_bcrypt,
    "raw bcrypt 2y": lambda password: plain_bcrypt(password, b"2y"),
    "passlib's pbkdf2": passlib_pbkdf2,
}

every_kind = pytest.mark.parametrize("exported", EXPORTED.values(), ids=EXPORTED)

# Made elsewhere, and published.
PUBLISHED = {
    "argon2id, the reference implementation's tests": (
        "password",
        "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
    ),
    "bcrypt 2a, crypt_blowfish's tests": ("U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
    "bcrypt 2y, PHP's manual": ("rasmuslerdorf", "$2y$07$BCryptRequires22Chrcte/VlQH0piJtjXl.0t1XkA8pw9dMXTpOq"),
    "PBKDF2, passlib's manual": ("password", "$pbkdf2-sha256$6400$0ZrzXitFSGltTQnBWOsdAw$Y11AchqV4b0sUisdZd0Xr97KWoymNE0LNNrnEgY4H9M"),
}


def give(user, exported):
    User.objects.filter(pk=user.pk).update(password=translate(exported))


def stored_hash(user):
    return User.objects.values_list("password", flat=True).get(pk=user.pk)


def is_refused(password):
    with pytest.raises(AuthenticationFailed) as refusal:
        authenticate("alice", password=password)
    return refusal.value.reason == "wrong password"


def why_refused(text):
    with pytest.raises(InvalidHash) as refusal:
        translate(text)
    return str(refusal.value)


# --- Taken in, and verified --------------------------------------------------------------------


@every_kind
def test_a_hash_of_every_kind_signs_in_and_gives_way_to_our_own(alice, exported):
    give(alice, exported(PASSWORD))

    assert is_refused(PASSWORD + "x")
    assert not stored_hash(alice).startswith(OURS)
    assert authenticate("alice", password=PASSWORD).user == alice
    assert stored_hash(alice).startswith(OURS)
    assert authenticate("alice", password=PASSWORD).user == alice
    assert is_refused(PASSWORD + "x")


@pytest.mark.parametrize(("password", "published"), PUBLISHED.values(), ids=PUBLISHED)
def test_a_hash_that_others_have_published_verifies(password, published):
    encoded = translate(published)

    assert check_password(password, encoded)
    assert not check_password(password + "x", encoded)


@every_kind
def test_what_was_translated_is_translated_to_itself(exported):
    encoded = translate(exported(PASSWORD))

    assert translate(encoded) == encoded


@every_kind
def test_a_stored_hash_names_its_hasher_and_fits_its_column(exported):
    encoded = translate(exported(PASSWORD))

    assert get_hasher(encoded.partition("$")[0]).decode(encoded)
    assert len(encoded) <= User._meta.get_field("password").max_length


@every_kind
def test_nothing_of_salt_and_hash_is_in_the_summary(exported):
    encoded = translate(exported(PASSWORD))

    summary = str(get_hasher(encoded.partition("$")[0]).safe_summary(encoded))

    assert encoded[-20:-14] not in summary
    assert "salt" not in summary
    assert "hash" not in summary


@pytest.mark.checklist(56)
@pytest.mark.django_db(transaction=True)
@every_kind
def test_a_hash_that_cannot_be_renewed_keeps_nobody_out(alice, unwritable_passwords, caplog, exported):
    give(alice, exported(PASSWORD))
    before = stored_hash(alice)
    unwritable_passwords()

    with caplog.at_level(logging.ERROR, logger="accounts.authentication"):
        authenticated = authenticate("alice", password=PASSWORD)

    assert authenticated.user == alice
    assert stored_hash(alice) == before
    assert before not in caplog.text


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


# --- What of the password counts ---------------------------------------------------------------


@pytest.mark.checklist(44)
@every_kind
def test_a_password_of_another_keyboard_is_the_same_password(exported):
    encoded = translate(exported(unicodedata.normalize("NFC", "é" * 20)))

    assert check_password(unicodedata.normalize("NFC", "é" * 20), encoded)
    assert check_password(unicodedata.normalize("NFD", "é" * 20), encoded)


@every_kind
def test_what_was_hashed_in_another_form_than_nfc_does_not_verify(exported):
    encoded = translate(exported(unicodedata.normalize("NFD", "é" * 20)))

    assert not check_password(unicodedata.normalize("NFD", "é" * 20), encoded)


@pytest.mark.checklist(44)
@pytest.mark.parametrize("name", [name for name in EXPORTED if name not in {"Django's bcrypt", *(f"raw bcrypt 2{x}" for x in "aby")}])
def test_each_character_of_a_long_password_counts(name):
    password = "p" * 200
    encoded = translate(EXPORTED[name](password))

    assert check_password(password, encoded)
    assert not check_password(password[:-1] + "q", encoded)
    assert not check_password(password[:72], encoded)


@pytest.mark.checklist(44)
@pytest.mark.parametrize("password", ["p" * 72 + " and more", "é" * 36 + "é", "x" + "🔑" * 20, "p" * 1024])
def test_a_password_that_bcrypt_had_cut_signs_in_and_is_whole_from_then_on(alice, password):
    give(alice, plain_bcrypt(password))
    changed = "q" + password[1:]

    assert is_refused(changed)
    assert authenticate("alice", password=password).user == alice
    assert is_refused(password + "x" if len(password.encode()) < 1024 else password[:-1] + "x")
    assert is_refused(password.encode()[:72].decode(errors="ignore"))
    assert authenticate("alice", password=password).user == alice


@pytest.mark.parametrize("position", [0, 1, 35, 70, 71])
def test_bcrypt_counts_the_first_72_bytes_and_nothing_is_cut_before(position):
    password = "p" * 80
    encoded = translate(plain_bcrypt(password))

    assert not check_password(password[:position] + "q" + password[position + 1 :], encoded)
    assert not check_password(password[:71], encoded)
    assert check_password(password[:72], encoded)  # as wherever the hash came from


@every_kind
@pytest.mark.parametrize("password", ["", "\x00", "correct\x00horse", "p" * 1024, "🔑" * 256, "e\u0301" * 100])
def test_no_password_is_too_odd_to_be_refused(exported, password):
    assert not check_password(password, translate(exported(PASSWORD)))


# --- What a hash may cost ----------------------------------------------------------------------

B64 = "A" * 43  # 32 bytes
SCRYPT_B64 = "A" * 86 + "=="
BCRYPT = "." * 53


@pytest.mark.parametrize(
    ("dearest", "dearer", "limit"),
    [
        (f"$argon2id$v=19$m=262144,t=4,p=1$c29tZXNhbHQ${B64}", f"$argon2id$v=19$m=262145,t=1,p=1$c29tZXNhbHQ${B64}", "262144"),
        (f"$argon2id$v=19$m=65536,t=16,p=4$c29tZXNhbHQ${B64}", f"$argon2id$v=19$m=65536,t=17,p=4$c29tZXNhbHQ${B64}", "1048576"),
        (f"argon2$argon2i$v=19$m=8192,t=128,p=1$c29tZXNhbHQ${B64}", f"argon2$argon2i$v=19$m=8192,t=129,p=1$c29tZXNhbHQ${B64}", "1048576"),
        (f"pbkdf2_sha256$2000000$salt${B64}=", f"pbkdf2_sha256$2000001$salt${B64}=", "2000000"),
        (f"pbkdf2_sha1$2000000$salt${'A' * 27}=", f"pbkdf2_sha1$9999999999$salt${'A' * 27}=", "2000000"),
        (f"$pbkdf2-sha256$2000000$AAAA${B64}", f"$pbkdf2-sha256$2000001$AAAA${B64}", "2000000"),
        (f"scrypt$131072$salt$8$2${SCRYPT_B64}", f"scrypt$262144$salt$8$1${SCRYPT_B64}", "1048576"),
        (f"scrypt$16384$salt$8$16${SCRYPT_B64}", f"scrypt$16384$salt$8$17${SCRYPT_B64}", "2097152"),
        (f"scrypt$2$salt$8$16${SCRYPT_B64}", f"scrypt$2$salt$999999999$1${SCRYPT_B64}", "1048576"),
        (f"$2b$14${BCRYPT}", f"$2b$15${BCRYPT}", "14"),
        (f"bcrypt_sha256$$2b$14${BCRYPT}", f"bcrypt_sha256$$2b$31${BCRYPT}", "14"),
    ],
)
def test_a_hash_that_would_be_costly_to_verify_is_refused_with_its_limit(dearest, dearer, limit):
    assert translate(dearest)
    assert f"over the limit of {limit}" in why_refused(dearer)


def test_the_costliest_scrypt_that_is_taken_in_can_be_computed():
    hasher = get_hasher("scrypt")

    encoded = hasher.encode(PASSWORD, "saltsaltsalt", n=2**17, r=8, p=1)

    assert hasher.verify(PASSWORD, translate(encoded))


# --- What is no hash ---------------------------------------------------------------------------

NO_HASHES = [
    "",
    PASSWORD,
    "5f4dcc3b5aa765d61d8327deb882cf99",
    "md5$salt$5f4dcc3b5aa765d61d8327deb882cf99",
    "sha1$salt$5baa61e4c9b93f3f0682250b6cf8331b7ee68fd8",
    "{SSHA}0123456789abcdef",
    "$1$salt$qJH7.N4xYta3aEG/dfqo/0",
    "$6$saltsalt$" + "A" * 86,
    "$7$C6..../....SodiumChloride$kBGj9fHznVYFQMEn/qDCfrDevf9YDtcDdKvEqHJLV8D",
    f"$argon2d$v=19$m=65536,t=2,p=1$c29tZXNhbHQ${B64}",
    f"$argon2id$v=16$m=65536,t=2,p=1$c29tZXNhbHQ${B64}",
    f"$argon2id$m=65536,t=2,p=1$c29tZXNhbHQ${B64}",
    f"$argon2id$v=19$m=65536,t=0,p=1$c29tZXNhbHQ${B64}",
    f"$argon2id$v=19$m=8,t=1,p=8$c29tZXNhbHQ${B64}",
    f"$argon2id$v=19$m=65536,t=2,p=1$c2FsdA${B64}",
    "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$AAAA",
    f"$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ${'A' * 86}",  # longer than the column
    f"pbkdf2_sha256$0$salt${B64}=",
    f"pbkdf2_sha256$01000$salt${B64}=",
    f"pbkdf2_sha256$-1$salt${B64}=",
    f"pbkdf2_sha256$1000$$${B64}=",
    f"pbkdf2_sha256$1000$salt${B64}",
    f"pbkdf2_sha256$1000$salt${B64[:-1]}B=",  # bits to spare, and set
    f"pbkdf2_sha1$1000$salt${B64}=",
    f"pbkdf2_sha512$1000$salt${B64}=",
    f"$pbkdf2$1000$AAAA${'A' * 27}",
    f"$pbkdf2-sha512$1000$AAAA${'A' * 86}",
    f"$pbkdf2-sha256$1000$AAAA${B64[:-4]}",
    f"$pbkdf2-sha256$1000$A${B64}",
    f"scrypt$1000$salt$8$1${SCRYPT_B64}",
    f"scrypt$1$salt$8$1${SCRYPT_B64}",
    f"scrypt$16384$salt$8$1${B64}=",
    f"$scrypt$ln=14,r=8,p=1$c29tZXNhbHQ${B64}",
    f"$2x$12${BCRYPT}",
    f"$2b$03${BCRYPT}",
    f"$2b$4${BCRYPT}",
    f"$2b$12${BCRYPT[:-1]}",
    f"$2b$12${BCRYPT}.",
    f"$2b$12${BCRYPT}\n",
    f"$bcrypt-sha256$v=2,t=2b,r=12${'.' * 22}${'.' * 31}",
]


@pytest.mark.parametrize("text", NO_HASHES)
def test_what_is_no_hash_of_a_known_kind_is_refused_and_not_repeated(text):
    reason = why_refused(text)

    assert reason.startswith("password_hash")
    assert text[-12:] not in reason or len(text) < 5


def test_bits_to_spare_that_some_bcrypt_libraries_left_set_are_cleared():
    alphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    exported = plain_bcrypt(PASSWORD)
    salt_end, digest_end = alphabet[alphabet.index(exported[28]) | 0b1111], alphabet[alphabet.index(exported[-1]) | 0b11]

    encoded = translate(exported[:28] + salt_end + exported[29:-1] + digest_end)

    assert encoded == f"bcrypt${exported}"
    assert check_password(PASSWORD, encoded)


CORRUPT = [
    "bcrypt$",
    "bcrypt$$2b$12$short",
    "bcrypt$$2b$99$" + "." * 53,
    "bcrypt$$2b$12$приве́т",
    "bcrypt_sha256$$2b$xx$" + "." * 53,
    "bcrypt_sha256$$2b$12$!" + "." * 52,
    "pbkdf2_sha1$many$salt$AAAA",
    "pbkdf2-sha256$1000$A$AAAA",
    "pbkdf2-sha256$many$AAAA$AAAA",
    "pbkdf2-sha256$0$AAAA$AAAA",
    "pbkdf2-sha256$1000$приве́т$AAAA",
    "scrypt$1000$salt$8$1$AAAA",
    "scrypt$1073741824$salt$8$1$AAAA",
]


@pytest.mark.parametrize("encoded", CORRUPT)
def test_a_corrupt_hash_is_a_wrong_password_and_no_failure_of_the_server(alice, encoded):
    User.objects.filter(pk=alice.pk).update(password=encoded)

    with pytest.raises(AuthenticationFailed) as refusal:
        authenticate("alice", password=PASSWORD)

    assert refusal.value.reason in {"wrong password", "unknown user"}
