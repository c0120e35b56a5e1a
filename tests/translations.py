"""Bring locale/ru up to date with what code and pages say, without gettext's programs: `make translations`.

What is new stands in django.po with an empty msgstr afterwards; translate it and run it again. django.mo is what the server reads; it is
committed, so that no machine needs a compiler for it, and a test compares the two.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import polib

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
PO = ROOT / "locale/ru/LC_MESSAGES/django.po"
MO = PO.with_suffix(".mo")
PACKAGES = ("accounts", "oauth", "authserver")
# What a catalogue that is brought along says of something else: allauth's of a setting, and here it is a person.
OURS = {"Disabled"}
CALLS = {"_": 1, "gettext": 1, "gettext_lazy": 1, "ngettext": 2, "ngettext_lazy": 2}
# What templatize makes of {% translate %} and {% blocktranslate %}.
IN_TEMPLATES = re.compile(
    r"""(?<![a-z])(n?gettext|_)\(\s*u?('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")(?:\s*,\s*u?('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"))?"""
)

Message = tuple[str, str]  # msgid, and its plural or nothing


def in_python(path: Path) -> Iterator[Message]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLS:
            texts = [
                each.value for each in node.args[: CALLS[node.func.id]] if isinstance(each, ast.Constant) and isinstance(each.value, str)
            ]
            if texts:
                yield texts[0], texts[1] if len(texts) > 1 else ""


def in_template(path: Path) -> Iterator[Message]:
    from django.utils.translation.template import templatize

    for _, msgid, plural in IN_TEMPLATES.findall(templatize(path.read_text(encoding="utf-8"), origin=str(path))):
        yield ast.literal_eval(msgid), ast.literal_eval(plural) if plural else ""


def in_admin() -> Iterator[Message]:
    """What the pages of models name in Python: models, columns, fields, filters, actions, help texts."""
    from django.contrib import admin
    from django.contrib.admin.utils import label_for_field

    for model, pages in admin.site._registry.items():
        options = model._meta
        shown = {*pages.list_display, *pages.readonly_fields} - {"action_checkbox"}
        texts = [options.verbose_name, options.verbose_name_plural, pages.search_help_text or "", pages.empty_text]
        texts += [label_for_field(name, model, model_admin=pages) for name in shown]
        texts += [field.verbose_name for field in (*options.concrete_fields, *options.many_to_many) if field.name in _fields_of(pages)]
        texts += [field.help_text for field in (*options.concrete_fields, *options.many_to_many) if field.name in _fields_of(pages)]
        texts += [name for name, _ in pages.fieldsets or () if name]
        texts += [text for field in pages.form.declared_fields.values() for text in (field.label, field.help_text)]
        texts += [getattr(getattr(pages, action, None), "short_description", "") for action in pages.actions or ()]
        texts += [getattr(each, "title", "") for each in pages.list_filter if not isinstance(each, str)]
        yield from ((str(text), "") for text in texts if text)


def _fields_of(pages: object) -> set[str]:
    fieldsets = getattr(pages, "fieldsets", None) or ()
    names = {name for _, options in fieldsets for name in options["fields"]}
    filters = {each for each in pages.list_filter if isinstance(each, str)}  # type: ignore[attr-defined]
    return names | filters | {*(getattr(pages, "fields", None) or ())}


def messages() -> dict[str, str]:
    """Every text that is ours to translate: Django and allauth bring their own."""
    from django.utils import translation

    found: dict[str, str] = {}
    with translation.override("en"):
        for path in sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
            found.update(in_python(path))
        for path in sorted((ROOT / "templates").rglob("*.html")):
            found.update(in_template(path))
        found.update(in_admin())
    return {msgid: plural for msgid, plural in found.items() if msgid and not _is_brought_along(msgid)}


def _is_brought_along(msgid: str) -> bool:
    """Whether a catalogue that the server reads besides ours has it: Django's, or allauth's."""
    import allauth
    import django

    if not _BROUGHT:
        base = Path(django.__file__).parent
        places = (base / "conf", base / "contrib/admin", base / "contrib/auth", Path(allauth.__file__).parent)
        for path in (place / "locale/ru/LC_MESSAGES/django.mo" for place in places):
            _BROUGHT.update(entry.msgid for entry in polib.mofile(str(path)) if entry.msgstr or entry.msgstr_plural)
    return msgid in _BROUGHT - OURS


_BROUGHT: set[str] = set()


def update() -> list[str]:
    """Rewrite both files; what has no translation yet."""
    wanted, old = messages(), {entry.msgid: entry for entry in polib.pofile(str(PO))} if PO.exists() else {}
    po = polib.POFile(wrapwidth=140)
    po.metadata = {
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Transfer-Encoding": "8bit",
        "Language": "ru",
        "Plural-Forms": "nplurals=3; plural=(n%10==1 && n%100!=11 ? 0 : n%10>=2 && n%10<=4 && (n%100<10 || n%100>=20) ? 1 : 2);",
    }
    for msgid, plural in sorted(wanted.items()):
        known = old.get(msgid)
        entry = polib.POEntry(msgid=msgid, msgstr="" if known is None or plural else known.msgstr)
        if plural:
            entry.msgid_plural = plural
            entry.msgstr_plural = known.msgstr_plural if known is not None and known.msgstr_plural else {0: "", 1: "", 2: ""}
        if "%(" in msgid:
            entry.flags.append("python-format")
        po.append(entry)
    PO.parent.mkdir(parents=True, exist_ok=True)
    po.save(str(PO))
    MO.write_bytes(po.to_binary())
    return [entry.msgid for entry in po if not is_translated(entry)]


def is_translated(entry: polib.POEntry) -> bool:
    return all(entry.msgstr_plural.values()) if entry.msgid_plural else bool(entry.msgstr)


def main() -> int:
    import os

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    import django

    django.setup()
    from django.contrib import admin

    admin.autodiscover()
    missing = update()
    for msgid in missing:
        print(f"not translated: {msgid!r}")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
