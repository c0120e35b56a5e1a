"""Write docs/conformance.md out of the `@pytest.mark.spec(…)` of the tests: `make conformance`.

The marks are read and nothing is run. The page depends on nothing else but NOT_OFFERED, so after a merge it is written anew.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/conformance.md"
MARK = "pytest.mark.spec"

TITLES = {
    "OpenID Connect Core 1.0": "sign-in and id_token",
    "OpenID Connect Discovery 1.0": "the metadata of an OpenID provider",
    "RP-Initiated Logout 1.0": "an app signs its user out",
    "Back-Channel Logout 1.0": "apps are told of a sign-out",
    "OAuth 2.0 Multiple Response Type Encoding Practices": "response types and modes",
    "RFC 6749": "OAuth 2.0",
    "RFC 6750": "bearer tokens",
    "RFC 7009": "revocation",
    "RFC 7517": "JSON Web Key",
    "RFC 7519": "JSON Web Token",
    "RFC 7523": "clients that sign an assertion",
    "RFC 7591": "dynamic client registration",
    "RFC 7636": "PKCE",
    "RFC 7638": "thumbprints of keys",
    "RFC 7662": "introspection",
    "RFC 8037": "Ed25519 keys",
    "RFC 8176": "the values of amr",
    "RFC 8252": "native apps",
    "RFC 8414": "authorization server metadata",
    "RFC 8628": "device authorization",
    "RFC 8693": "token exchange",
    "RFC 8705": "mutual TLS",
    "RFC 8707": "resource indicators",
    "RFC 8725": "best current practice for JWT",
    "RFC 9068": "the JWT profile of access tokens",
    "RFC 9101": "request objects",
    "RFC 9110": "HTTP semantics",
    "RFC 9112": "HTTP/1.1",
    "RFC 9126": "pushed authorization requests",
    "RFC 9207": "the issuer in the authorization response",
    "RFC 9449": "DPoP",
    "RFC 9470": "step-up authentication",
    "RFC 9700": "best current practice for OAuth 2.0 security",
    "RFC 9728": "protected resource metadata",
}

# What a reader may look for in vain: document, section, what is not offered, and what stands in its place.
NOT_OFFERED = (
    ("RFC 6749", "4.2", "the implicit grant", "authorization code with PKCE, as RFC 9700 §2.1.2 says"),
    ("OpenID Connect Core 1.0", "3.2, 3.3", "the implicit and hybrid flows", "`response_type=code` alone"),
    (
        "OpenID Connect Core 1.0",
        "6",
        "request objects, by value or by reference",
        "a refusal: `request_not_supported`, `request_uri_not_supported`",
    ),
    ("OpenID Connect Core 1.0", "8", "pairwise subjects", "one `sub` for all clients"),
    ("Back-Channel Logout 1.0", "2", "back-channel logout", "refused refreshes, introspection"),
    ("RFC 7523", "2.2", "`private_key_jwt` and `client_secret_jwt`", "`client_secret_basic`, `client_secret_post`"),
    ("RFC 8693", "2", "token exchange", "none"),
    ("RFC 8705", "2", "mutual TLS for clients and bound tokens", "none"),
    ("RFC 9101", "4", "signed authorization requests", "plain parameters with PKCE"),
    ("RFC 9126", "2", "pushed authorization requests", "plain parameters with PKCE"),
    ("RFC 9449", "4", "DPoP: access tokens bound to a key", "bearer tokens of 15 minutes"),
)

HEAD = """# Conformance

Which sentences of which standards this server holds, each with the tests that hold it. `make conformance` writes this page out of
the marks of the tests, and a test fails when it is not up to date: a line stands here for as long as its tests pass. What is
deliberately not offered stands at the [end](#not-offered). Which libraries were driven against it: [clients.md](clients.md).
"""


@dataclass(frozen=True, order=True)
class Held:
    """A sentence of a standard, and a test that holds it."""

    document: str
    section: str
    requirement: str
    file: str
    test: str


def held() -> Iterator[Held]:
    """What the marks of all tests say."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for call in node.decorator_list:
                    if isinstance(call, ast.Call) and ast.unparse(call.func) == MARK:
                        document, section, requirement = (ast.literal_eval(argument) for argument in call.args)
                        yield Held(document, section, requirement, path.relative_to(ROOT).as_posix(), node.name)


def page() -> str:
    """The whole of docs/conformance.md."""
    found = defaultdict(list)
    for each in held():
        found[each.document].append(each)
    parts = [HEAD, *(_part(document, found[document]) for document in sorted(found, key=_natural)), _not_offered()]
    return "\n".join(parts)


def _part(document: str, marks: list[Held]) -> str:
    tests = defaultdict(set)
    for each in marks:
        tests[(each.section, each.requirement)].add((each.file, each.test))
    lines = [f"## {_named(document)}", "", "| section | what is held | status | tests |", "|---|---|---|---|"]
    for section, requirement in sorted(tests, key=lambda row: (_natural(row[0]), row[1])):
        links = "<br>".join(f"[`{name}`](../{file})" for file, name in sorted(tests[section, requirement]))
        lines.append(f"| {section} | {_cell(requirement)} | held | {links} |")
    return "\n".join([*lines, ""])


def _not_offered() -> str:
    lines = ["## Not offered", "", "| document | section | what | status | in its place |", "|---|---|---|---|---|"]
    for document, section, what, instead in sorted(NOT_OFFERED, key=lambda row: (_natural(row[0]), _natural(row[1]))):
        lines.append(f"| {_named(document)} | {section} | {what} | not offered | {instead} |")
    return "\n".join([*lines, ""])


def _named(document: str) -> str:
    return f"{document}: {TITLES[document]}" if document in TITLES else document


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _natural(text: str) -> list[Any]:
    """A key that sorts 4.10 behind 4.9."""
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in re.findall(r"\d+|\D+", text)]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
