"""Which licences the locked packages have, and which may be among them; docs/licences.md lists both.

`python -m tests.supply.licences` writes that page, `--check` says what is wrong with it and with the licences.
"""

import hashlib
import re
import sys
from collections.abc import Iterator
from importlib import metadata

from license_expression import AND, OR, ExpressionError, get_spdx_licensing

from tests.supply.locked import ROOT, Package, read

PAGE = ROOT / "docs" / "licences.md"
BEGIN, END = "<!-- written by make licences -->", "<!-- until here -->"

# They ask for their notice to be kept, and for nothing else.
PERMISSIVE = frozenset({"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC-BY-4.0", "CC0-1.0", "ISC", "MIT", "MIT-0", "PSF-2.0"})

# What asks for more, package by package.
_OWN_FILES_ALONE = "It asks that changes of its own files be published. They are installed as they are."
_REPLACEABLE = (
    "It asks that whoever gets it may put a changed one in its place, and that changes of it be published. It is installed as it is, as a "
    "package of its own that anyone can replace; our code only imports it and keeps its own licence (LGPL 3 §4)."
)
WITH_CONDITIONS = {
    ("certifi", "MPL-2.0"): _OWN_FILES_ALONE,
    ("fido2", "MPL-2.0"): f"{_OWN_FILES_ALONE} Of fido2 that is a list of domain names.",
    ("jwcrypto", "LGPL-3.0-or-later"): _REPLACEABLE,
    ("psycopg", "LGPL-3.0-only"): _REPLACEABLE,
    ("psycopg-binary", "LGPL-3.0-only"): _REPLACEABLE,
}

# Whose metadata gives no SPDX expression: the licence texts were read, and these are their digests. Another text has to be read again.
READ_BY_HAND = {
    "async-timeout": ("Apache-2.0", "e18d7bb8f513e2c4"),  # installed by Python before 3.11.3, such as Debian 12's
    "django-oauth-toolkit": ("BSD-2-Clause", "9969ff5210c7dea2"),
    "django-ratelimit": ("Apache-2.0", "1104c22b1e2fb20b"),
    "drf-spectacular-sidecar": ("BSD-3-Clause AND Apache-2.0 AND MIT", "f5346c9981fac1bd"),  # Swagger UI and Redoc are in it
    "fido2": ("BSD-2-Clause AND Apache-2.0 AND MPL-2.0", "4c69b3657337a90d"),
    "protobuf": ("BSD-3-Clause", "6e5e117324afd944"),
    "qrcode": ("BSD-3-Clause AND MIT", "40dfb903c94ee3f7"),
    "sqlparse": ("BSD-3-Clause", "c1938235b80d39e9"),
    "uritemplate": ("BSD-3-Clause OR Apache-2.0", "3cfc9f01cdeec929"),
}

_LICENSING = get_spdx_licensing()
_TEXT = re.compile(r"(?:^|/)(?:licen[cs]e|copying|notice)[^/]*$", re.IGNORECASE)
_ROW = re.compile(r"^\| `(?P<name>[^`]+)` \| (?P<licence>[^|]+) \|$", re.MULTILINE)


class Unknown(Exception):
    """Nobody has said, in a form that can be checked, which licence a package has."""


def licence_of(name: str, distribution: metadata.Distribution) -> str:
    """An SPDX expression. Raises Unknown where there is none, or where the texts are not those that were read."""
    if name in READ_BY_HAND:
        expression, digest = READ_BY_HAND[name]
        found = digest_of_texts(distribution)
        if found != digest:
            raise Unknown(f"the licence texts of {name} are not those that were read: read them, and note the digest {found}")
        return expression
    said = distribution.metadata.get("License-Expression") or distribution.metadata.get("License") or ""
    try:
        _LICENSING.parse(said, validate=True, strict=True)
    except ExpressionError:
        said = ""
    if not said:
        raise Unknown(
            f"the metadata of {name} gives no SPDX expression: read its licence texts, with the digest {digest_of_texts(distribution)}"
        )
    return said


def digest_of_texts(distribution: metadata.Distribution) -> str:
    """Over all of its licence files, in the order of their names. Empty when it has none."""
    texts = sorted((str(file), file.read_binary()) for file in distribution.files or () if _TEXT.search(str(file)))
    return hashlib.sha256(b"\0".join(text for _, text in texts)).hexdigest()[:16] if texts else ""


def is_allowed(name: str, expression: str) -> bool:
    return _allows(name, _LICENSING.parse(expression, validate=True, strict=True))


def _allows(name: str, parsed: object) -> bool:
    match parsed:
        case OR(args=choices):
            return any(_allows(name, choice) for choice in choices)
        case AND(args=parts):
            return all(_allows(name, part) for part in parts)
    return str(parsed) in PERMISSIVE or (name, str(parsed)) in WITH_CONDITIONS


def known_licences(packages: list[Package]) -> dict[str, str]:
    """The expression of each package that is installed here. Raises Unknown."""
    installed = {package.name: distribution for package in packages if (distribution := package.distribution()) is not None}
    return {name: licence_of(name, distribution) for name, distribution in installed.items()}


def problems(packages: list[Package]) -> Iterator[str]:
    found: dict[str, str] = {}
    for package in packages:
        try:
            found |= known_licences([package])
        except (Unknown, ValueError) as error:
            yield str(error)
    yield from (f"the licence of {name} is not allowed: {licence}" for name, licence in found.items() if not is_allowed(name, licence))
    written = dict(_ROW.findall(PAGE.read_text(encoding="utf-8")))
    # What is not installed here may have its row all the same: it was written where it is.
    if {*written} - {package.name for package in packages} or not found.items() <= written.items():
        yield f"{PAGE.relative_to(ROOT)} is not what is installed: run make licences"


def table(packages: list[Package], *, before: str) -> str:
    """The rows of the page; of a package that is not installed here the row that was there `before`."""
    licences = dict(_ROW.findall(before)) | known_licences(packages)
    rows = [f"| `{package.name}` | {licences[package.name]} |" for package in packages if package.name in licences]
    return "\n".join(["| package | licence |", "|---|---|", *rows])


def main(arguments: list[str]) -> int:
    packages = read()
    if arguments == ["--check"]:
        wrong = [*problems(packages)]
        for problem in wrong:
            print(problem, file=sys.stderr)
        return 1 if wrong else 0
    text = PAGE.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    try:
        written = table(packages, before=rest)
    except (Unknown, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    PAGE.write_text(f"{head}{BEGIN}\n\n{written}\n\n{END}{tail}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
