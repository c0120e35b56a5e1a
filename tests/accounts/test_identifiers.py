"""What was typed becomes one canonical form, or is refused with a sentence (accounts/identifiers.py)."""

import sys
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from accounts.identifiers import MAX_LENGTH, InvalidIdentifier, canonical, canonical_email, canonical_username, is_email
from tests.accounts.spellings import wide

# No deadline: a slow machine is no failure of a pure function.
for_any = settings(deadline=None, max_examples=300)

ANY_TEXT = st.text(st.characters())  # lone surrogates too
PLAIN = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=40)
LETTERS = st.text(  # Latin, Greek, Cyrillic, and the ß that has no capital of its own
    st.characters(min_codepoint=ord("a"), max_codepoint=ord("z"))
    | st.characters(min_codepoint=0x00DF, max_codepoint=0x00FF)
    | st.characters(min_codepoint=0x03B1, max_codepoint=0x03C9)
    | st.characters(min_codepoint=0x0430, max_codepoint=0x045F),
    min_size=1,
    max_size=40,
)
SPACES = st.text(" \t\r\n\u00a0\u2003\u2009\u3000", max_size=5)

INVISIBLE = {
    "zero width joiner": "\u200d",
    "zero width non-joiner": "\u200c",
    "zero width space": "\u200b",
    "word joiner": "\u2060",
    "soft hyphen": "\u00ad",
    "combining grapheme joiner": "\u034f",
    "Hangul filler": "\u3164",
    "halfwidth Hangul filler": "\uffa0",
    "Hangul choseong filler": "\u115f",
    "Hangul jungseong filler": "\u1160",
    "Khmer inherent vowel": "\u17b4",
    "Mongolian variation selector": "\u180b",
    "Mongolian vowel separator": "\u180e",
    "variation selector 1": "\ufe00",
    "variation selector 16": "\ufe0f",
    "variation selector 256": "\U000e01ef",
    "left-to-right mark": "\u200e",
    "right-to-left mark": "\u200f",
    "Arabic letter mark": "\u061c",
    "left-to-right embedding": "\u202a",
    "right-to-left override": "\u202e",
    "first strong isolate": "\u2068",
    "pop directional isolate": "\u2069",
    "byte order mark": "\ufeff",
    "invisible times": "\u2062",
    "interlinear annotation anchor": "\ufff9",
    "tag": "\U000e0061",
    "Braille blank": "\u2800",
    "NUL": "\x00",
    "escape": "\x1b",
    "delete": "\x7f",
    "private use": "\ue000",
    "not a character": "\ufdd0",
    "lone surrogate": "\ud800",
}


def canonical_or_none(value):
    try:
        return canonical(value)
    except InvalidIdentifier:
        return None


@for_any
@example("ﬁona")
@example("İ")
@example("ᾳ\u0345")
@example("¨alice")
@example("ﷺ")
@given(st.text(st.characters(categories=("L", "M", "N", "P", "S", "Zs"))))
def test_the_canonical_form_of_a_canonical_form_is_itself(typed):
    form = canonical_or_none(typed)

    assert form is None or canonical(form) == form


def test_every_character_of_unicode_gives_a_form_that_stands_still_or_a_refusal():
    forms = {form for code in range(sys.maxunicode + 1) if (form := canonical_or_none(f"a{chr(code)}")) is not None}

    assert [form for form in forms if canonical(form) != form] == []


@for_any
@given(ANY_TEXT)
def test_no_text_raises_anything_but_invalid_identifier(typed):
    for read in (canonical, canonical_username, canonical_email):
        try:
            form = read(typed)
        except InvalidIdentifier as refusal:
            assert str(refusal)  # noqa: PT017 - what is raised instead is the failure
        else:
            assert 0 < len(form) <= MAX_LENGTH


@for_any
@given(LETTERS)
def test_case_makes_no_other_name(name):
    forms = {canonical(spelling) for spelling in (name, name.upper(), name.lower(), name.title(), name.swapcase(), name.casefold())}

    assert len(forms) == 1


@for_any
@given(PLAIN)
def test_width_makes_no_other_name(name):
    assert canonical(wide(name)) == canonical(name)


@for_any
@given(LETTERS | PLAIN, st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]))
def test_the_unicode_form_makes_no_other_name(name, form):
    assert canonical(unicodedata.normalize(form, name)) == canonical(name)


@for_any
@given(SPACES, LETTERS | PLAIN, SPACES)
def test_white_space_around_a_name_makes_no_other_name(before, name, after):
    assert canonical(before + name + after) == canonical(name)


@pytest.mark.checklist(43)
@pytest.mark.parametrize("spelling", ["ﬁona", "FIONA", "Fiona", wide("fiona"), "ﬁONA", " fiona\u3000"])
def test_fiona_is_one_person_however_she_is_spelled(spelling):
    assert canonical(spelling) == "fiona"


def test_letters_of_another_alphabet_are_another_name():
    assert canonical("\N{CYRILLIC SMALL LETTER A}lice") != canonical("alice")


@pytest.mark.checklist(42)
@pytest.mark.parametrize("character", INVISIBLE.values(), ids=INVISIBLE.keys())
@pytest.mark.parametrize("template", ["{}alice", "al{}ice", "alice{}", "al{}ice@example.com"])
def test_what_cannot_be_seen_is_refused(character, template):
    with pytest.raises(InvalidIdentifier, match=f"U\\+{ord(character):04X}"):
        canonical(template.format(character))


@for_any
@given(PLAIN, st.sampled_from([*INVISIBLE.values()]), PLAIN)
def test_no_name_around_it_hides_what_cannot_be_seen(before, character, after):
    with pytest.raises(InvalidIdentifier):
        canonical(before + character + after)


@pytest.mark.parametrize("typed", ["", " ", "\t\n", "\u3000\u00a0"])
def test_nothing_is_no_name(typed):
    with pytest.raises(InvalidIdentifier, match="Enter a user name"):
        canonical(typed)


def test_a_name_has_at_most_254_characters():
    assert canonical("a" * MAX_LENGTH) == "a" * MAX_LENGTH

    with pytest.raises(InvalidIdentifier, match="at most 254"):
        canonical("a" * (MAX_LENGTH + 1))


def test_a_name_that_grows_past_the_limit_when_folded_is_refused():
    with pytest.raises(InvalidIdentifier, match="at most 254"):
        canonical("ﷺ" * 20)


def test_white_space_around_a_name_does_not_count():
    assert canonical(" " * 1000 + "alice") == "alice"


@pytest.mark.parametrize(
    "typed", ["alice@example.com", wide("alice@example.com"), "alice\N{SMALL COMMERCIAL AT}example.com", "@", "alice@"]
)
def test_a_user_name_has_no_at_sign_of_any_width(typed):
    with pytest.raises(InvalidIdentifier, match="no @"):
        canonical_username(typed)


@pytest.mark.parametrize("space", [" ", "\u00a0", "\u3000", "\u2003", "\u1680"])
def test_a_user_name_has_no_white_space_inside(space):
    with pytest.raises(InvalidIdentifier, match="no spaces"):
        canonical_username(f"alice{space}smith")


@pytest.mark.parametrize("typed", ["alice\tsmith", "alice\nsmith", "alice\u2028smith"])
def test_a_user_name_has_no_tab_and_no_line_break(typed):
    with pytest.raises(InvalidIdentifier):
        canonical_username(typed)


@pytest.mark.parametrize(
    ("typed", "form"),
    [
        ("Alice@Example.COM", "alice@example.com"),
        (" alice@example.com ", "alice@example.com"),
        (wide("alice@example.com"), "alice@example.com"),
        ('"a@b"@example.com', '"a@b"@example.com'),
        ("Müller@bücher.example", "müller@bücher.example"),
        ("alice+tag@example.com", "alice+tag@example.com"),
    ],
)
def test_an_email_address_is_read_in_any_spelling(typed, form):
    assert canonical_email(typed) == form


@pytest.mark.parametrize(
    "typed", ["alice", "@example.com", "alice@", "@", "alice smith@example.com", "alice@exam ple.com", "alice@\u3000example.com"]
)
def test_what_is_no_email_address_is_refused(typed):
    with pytest.raises(InvalidIdentifier, match="Enter an e-mail address"):
        canonical_email(typed)


@for_any
@given(ANY_TEXT)
def test_no_text_is_both_a_user_name_and_an_email_address(typed):
    def is_accepted(read):
        try:
            read(typed)
        except InvalidIdentifier:
            return False
        return True

    assert not (is_accepted(canonical_username) and is_accepted(canonical_email))


def test_the_at_sign_tells_an_email_address_from_a_user_name():
    assert is_email(canonical(wide("Alice@Example.com")))
    assert not is_email(canonical("Alice"))
