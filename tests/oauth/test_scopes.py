"""Scopes: the string and the set."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth import scopes

words = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters='"\\'), min_size=1)


@given(st.frozensets(words, max_size=8))
def test_a_set_written_and_read_is_the_same_set(given_scopes):
    assert scopes.parse(scopes.format(given_scopes)) == given_scopes


@given(st.text())
def test_any_text_is_read_or_refused_and_what_is_read_has_one_spelling(text):
    try:
        parsed = scopes.parse(text)
    except scopes.Malformed:
        return

    assert scopes.parse(scopes.format(parsed)) == parsed


@pytest.mark.spec("RFC 6749", "3.3", "scope-token = 1*( %x21 / %x23-5B / %x5D-7E )")
@pytest.mark.parametrize("malformed", [" a", "a ", "a  b", 'a"b', "a\\b", "a\tb", "é", "a\nb", "\x7f"])
def test_what_the_grammar_does_not_allow_is_refused(malformed):
    with pytest.raises(scopes.Malformed):
        scopes.parse(malformed)
