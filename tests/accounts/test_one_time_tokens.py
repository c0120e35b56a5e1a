"""A code from a mail is used once, in time, for what it was made for (accounts/one_time_tokens.py)."""

import hashlib

import pytest
from django.db import transaction

from accounts import one_time_tokens
from accounts.models import OneTimeToken, User
from accounts.one_time_tokens import InvalidCode
from tests.threads import at_once

PURPOSE = one_time_tokens.EMAIL_CHANGE


@pytest.fixture
def make(alice):
    def call(user=alice, *, purpose=PURPOSE, email="new@example.com"):
        with transaction.atomic():
            return one_time_tokens.make(user, purpose=purpose, email=email)

    return call


def use(value, *, purpose=PURPOSE):
    with transaction.atomic():
        return one_time_tokens.use(value, purpose=purpose)


def test_a_code_gives_its_user_and_the_address_that_it_was_sent_to(make, alice):
    value = make()

    assert use(value) == (alice, "new@example.com")
    assert OneTimeToken.objects.count() == 0


def test_only_a_digest_of_it_is_stored(make):
    value = make()

    stored = OneTimeToken.objects.get()
    assert bytes(stored.digest) == hashlib.sha256(value.encode()).digest()
    assert value not in f"{stored} {stored!r} {vars(stored)}"
    assert len(value) == 43


def test_white_space_that_was_copied_with_it_does_not_matter(make, alice):
    assert use(f" {make()}\r\n")[0] == alice


def test_a_code_is_used_once(make):
    value = make()
    use(value)

    with pytest.raises(InvalidCode):
        use(value)


@pytest.mark.parametrize("value", ["", "x", "\ud800", "ключ", "A" * 43, "A" * 100_000])
def test_what_was_never_made_is_refused(make, value):
    make()

    with pytest.raises(InvalidCode):
        use(value)
    assert OneTimeToken.objects.count() == 1


def test_the_digest_that_is_stored_is_no_code(make):
    make()
    digest = bytes(OneTimeToken.objects.get().digest)

    for copied in (digest.hex(), digest.decode("latin-1")):
        with pytest.raises(InvalidCode):
            use(copied)


def test_a_code_works_for_half_an_hour(make, later):
    value = make()
    later(minutes=29, seconds=55)
    assert use(value)

    value = make()
    later(minutes=30, seconds=1)
    with pytest.raises(InvalidCode):
        use(value)
    assert OneTimeToken.objects.count() == 1


def test_a_code_is_for_one_purpose(make):
    value = make()

    with pytest.raises(InvalidCode):
        use(value, purpose="password_reset")
    assert use(value)


def test_the_newest_code_of_a_purpose_is_the_only_one(make, alice, bob):
    older, other, bobs = make(), make(purpose="password_reset"), make(bob)
    newest = make(email="newer@example.com")

    with pytest.raises(InvalidCode):
        use(older)
    assert use(newest) == (alice, "newer@example.com")
    assert use(bobs)[0] == bob
    assert use(other, purpose="password_reset")[0] == alice


def test_a_disabled_user_uses_no_code(make, alice):
    value = make()
    User.objects.filter(pk=alice.pk).update(is_active=False)

    with pytest.raises(InvalidCode):
        use(value)


def test_forgetting_voids_all_codes_of_one_user(make, alice, bob):
    alices, bobs = make(), make(bob)

    one_time_tokens.forget(alice)

    with pytest.raises(InvalidCode):
        use(alices)
    assert use(bobs)[0] == bob


def test_a_code_goes_with_its_user(make, alice):
    make()

    alice.delete()

    assert OneTimeToken.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_of_parallel_uses_of_one_code_one_succeeds(make, alice):
    for _ in range(5):
        value = make()

        results = at_once(*[lambda value=value: use(value)] * 8, refusals=(InvalidCode,))

        assert [result for result in results if not isinstance(result, InvalidCode)] == [(alice, "new@example.com")]
