"""Whatever a page says, it says in Russian too; and the file that the server reads is what was translated."""

import re

import polib
import pytest
from django.contrib import admin
from django.utils import translation

from tests import translations


@pytest.fixture
def po():
    return polib.pofile(str(translations.PO))


def test_every_text_of_code_and_pages_is_in_the_catalogue_and_no_other():
    admin.autodiscover()

    assert {entry.msgid for entry in polib.pofile(str(translations.PO))} == {*translations.messages()}


def test_every_text_is_translated(po):
    assert [entry.msgid for entry in po if not translations.is_translated(entry)] == []


def test_the_compiled_file_is_up_to_date(po):
    assert translations.MO.read_bytes() == po.to_binary(), "run make translations"


def test_a_translation_has_the_places_of_its_text(po):
    def places(text):
        return {*re.findall(r"%\((\w+)\)s", text)}

    wrong = [
        entry.msgid
        for entry in po
        for text in ([entry.msgstr] if not entry.msgid_plural else entry.msgstr_plural.values())
        if places(text) != places(entry.msgid)
    ]
    assert wrong == []


def test_the_server_speaks_russian():
    with translation.override("ru"):
        assert translation.gettext("Signing keys") == "Ключи подписи"
        assert translation.ngettext("%(counter)s row", "%(counter)s rows", 3) == "%(counter)s строки"
