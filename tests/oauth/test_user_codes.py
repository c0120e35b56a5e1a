"""The short codes that people type (RFC 8628 §6.1)."""

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth import user_codes

KEYS = ("a first key of the tests", "a second key of the tests")


@pytest.mark.checklist(118)
@pytest.mark.spec("RFC 8628", "6.1", "a character set without vowels, easily typed")
def test_codes_are_eight_letters_of_twenty_and_none_comes_twice():
    drawn = [user_codes.draw() for _ in range(2000)]

    assert all(re.fullmatch(r"[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}", code) for code in drawn)
    assert len({*drawn}) == 2000
    assert {*"".join(drawn)} == {*user_codes.ALPHABET, "-"}


@pytest.mark.checklist(118)
def test_nobody_can_foresee_a_code():
    random.seed(1)
    first = user_codes.draw()
    random.seed(1)

    assert user_codes.draw() != first


@pytest.mark.spec("RFC 8628", "6.1", "dashes, spaces and case are forgiven")
@pytest.mark.parametrize(
    "typed",
    ["WDJB-MJHT", "wdjb-mjht", "WDJBMJHT", " wd jb mj ht ", "wdjb–mjht", "W.D.J.B-M.J.H.T", "ＷＤＪＢ－ＭＪＨＴ", "WDJВ-МJНТ", "wdj8-mjht"],
)
def test_a_code_is_understood_as_people_type_it(typed):
    assert user_codes.parse(typed) == "WDJB-MJHT"


@pytest.mark.parametrize("typed", ["", "-", "WDJB-MJH", "WDJB-MJHTT", "WDJB-MJHA", "WDJB-MJH3", "W" * 10_000, "\ud800" * 8, "𝟘" * 8 + "x"])
def test_what_cannot_be_a_code_is_none(typed):
    with pytest.raises(user_codes.Malformed):
        user_codes.parse(typed)


@given(st.text(alphabet=user_codes.ALPHABET, min_size=8, max_size=8), st.randoms(use_true_random=False))
def test_case_and_gaps_never_matter(letters, dice):
    gaps = [dice.choice(["", " ", "-", "_"]) for _ in letters]
    typed = "".join(gap + dice.choice([letter, letter.lower()]) for gap, letter in zip(gaps, letters, strict=True))

    assert user_codes.parse(typed) == user_codes.spell(letters)


@given(st.text(max_size=40))
def test_whatever_is_typed_is_a_code_of_ours_or_malformed(typed):
    try:
        code = user_codes.parse(typed)
    except user_codes.Malformed:
        return

    assert user_codes.parse(code) == code


@pytest.mark.checklist(118)
def test_what_is_stored_depends_on_the_key_and_on_every_letter():
    digests = {user_codes.digests(code, keys=KEYS) for code in ("WDJB-MJHT", "WDJB-MJHX")}

    assert len({digest for pair in digests for digest in pair}) == 4
