"""The codec of refresh tokens: what it makes it reads, and nothing else."""

import base64
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth.refresh_tokens import LENGTH, MAX_GENERATION, Malformed, RefreshToken, decode, encode, retry_digests, session_id

KEYS = ("the first of the keys of the tests", "the second of the keys of the tests")
OTHER_KEYS = ("a key that this server never had, of some length",)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

tokens = st.builds(RefreshToken, handle=st.binary(min_size=16, max_size=16), generation=st.integers(0, MAX_GENERATION))


@given(tokens)
def test_a_token_reads_back_as_what_was_written(token):
    value = encode(token, keys=KEYS)

    assert len(value) == LENGTH
    assert decode(value, keys=KEYS) == token


@pytest.mark.checklist(73)
@given(tokens, st.integers(0, LENGTH - 1), st.sampled_from(ALPHABET + "=+/ .\n\0é"))
def test_any_one_character_changed_is_refused(token, position, character):
    value = encode(token, keys=KEYS)
    changed = value[:position] + character + value[position + 1 :]

    if changed != value:
        with pytest.raises(Malformed):
            decode(changed, keys=KEYS)


@pytest.mark.checklist(73)
@given(tokens, st.integers(1, LENGTH))
def test_a_truncated_padded_or_recased_token_is_refused(token, cut):
    value = encode(token, keys=KEYS)

    for changed in (value[:-cut], value + "=", value + "A" * cut, f" {value}", value.swapcase()):
        if changed != value:
            with pytest.raises(Malformed):
                decode(changed, keys=KEYS)


@given(st.text())
def test_garbage_is_refused_and_nothing_else_happens(value):
    with pytest.raises(Malformed):
        decode(value, keys=KEYS)


@given(tokens)
def test_every_key_verifies_and_the_first_one_mints(token):
    older = encode(token, keys=KEYS[1:])

    assert decode(older, keys=KEYS) == token
    assert encode(token, keys=KEYS) != older
    with pytest.raises(Malformed):
        decode(older, keys=KEYS[:1])


@given(tokens)
def test_a_token_of_another_servers_key_is_refused(token):
    with pytest.raises(Malformed):
        decode(encode(token, keys=OTHER_KEYS), keys=KEYS)


def test_an_unknown_version_is_refused_whatever_its_tag():
    raw = bytearray(base64.urlsafe_b64decode(encode(RefreshToken(bytes(16), 0), keys=KEYS)))
    raw[0] = 2

    with pytest.raises(Malformed):
        decode(base64.urlsafe_b64encode(bytes(raw)).decode(), keys=KEYS)


def test_a_generation_over_the_cap_is_refused():
    over = encode(RefreshToken(bytes(16), MAX_GENERATION + 1), keys=KEYS)

    with pytest.raises(Malformed):
        decode(over, keys=KEYS)


@given(st.binary(min_size=16, max_size=16))
def test_the_session_id_is_a_version_8_uuid_that_does_not_show_the_handle(handle):
    sid = session_id(handle)

    assert sid.version == 8
    assert sid.variant == uuid.RFC_4122
    assert sid.bytes != handle
    assert sid == session_id(handle)


@given(tokens)
def test_the_retry_digest_depends_on_each_of_its_parts(token):
    def digest(token=token, client_id="editor", attempt="key one", keys=KEYS):
        return retry_digests(token, client_id=client_id, attempt=attempt, keys=keys)

    others = [digest(token.successor()), digest(client_id="editor2"), digest(attempt="key two"), digest(keys=OTHER_KEYS)]

    assert digest() == digest()
    assert not set(digest()) & {each for other in others for each in other}
    # The parts are delimited: moving a character from one to the next is another attempt.
    assert digest(client_id="ab", attempt="c") != digest(client_id="a", attempt="bc")


@given(tokens)
def test_a_token_has_no_repr_that_shows_it(token):
    assert repr(token.handle) not in f"{token} {token!r}"
