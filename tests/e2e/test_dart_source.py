"""The Dart client holds together, as far as a reader can tell who has no Dart: brackets, imports, and names that are declared somewhere."""

import re
from pathlib import Path

import pytest
import yaml

from tests.e2e.dart_source import tokens_of
from tests.e2e.servers import ROOT

CLIENT = ROOT / "examples/dart-client"
PACKAGES = {"authserver_client": CLIENT, "authserver_client_flutter": CLIENT / "flutter"}
SOURCES = sorted(CLIENT.rglob("*.dart"))

KEYWORDS = {"async", "await", "catch", "for", "if", "super", "switch", "while"}

# What the sources may take from elsewhere, by import. Without one there is dart:core.
KNOWN = {
    "": "DateTime Duration Error Exception FormatException Function Future Iterable List Map MapEntry Null Object RegExp Set "
    "StateError Stopwatch Stream String Uri identical int print",
    "dart:async": "Completer StreamController StreamSubscription Timer unawaited",
    "dart:convert": "jsonDecode jsonEncode utf8",
    "dart:io": "HttpRequest HttpServer WebSocket WebSocketTransformer",
    "dart:math": "Random min",
    "package:flutter/material.dart": "AppBar AutofillGroup AutofillHints BuildContext CircularProgressIndicator Column EdgeInsets "
    "ElevatedButton FutureBuilder Icon IconButton Icons InputDecoration MainAxisAlignment MaterialApp Padding Scaffold SizedBox State "
    "StatefulWidget StatelessWidget StreamBuilder Text TextEditingController TextField Widget WidgetsFlutterBinding runApp setState",
    "package:flutter_secure_storage/flutter_secure_storage.dart": "FlutterSecureStorage",
    "package:http/http.dart": "BaseClient BaseRequest Client ClientException Request Response StreamedResponse",
    "package:http/testing.dart": "MockClient",
    "package:test/test.dart": "emitsError expect expectLater group hasLength isA isNot lessThan pumpEventQueue setUp tearDown test throwsA",
    "package:web_socket_channel/io.dart": "IOWebSocketChannel",
    "package:web_socket_channel/web_socket_channel.dart": "WebSocketChannel",
}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_strings_comments_and_brackets_are_closed(path):
    assert len(tokens_of(path.read_text(encoding="utf-8"))) > 5


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("f(]", "] closes nothing"),
        ("f() {", "{ is never closed"),
        ("var x = 'abc\n';", "a string is never closed"),
        ("var x = '${f(';'}';", "( is never closed"),
    ],
)
def test_the_reader_sees_what_is_not_closed(text, complaint):
    with pytest.raises(ValueError, match=re.escape(complaint)):
        tokens_of(text)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_every_import_leads_to_a_file_or_to_a_package_of_the_pubspec(path):
    for uri in imports_of(path):
        assert uri in KNOWN or target_of(uri, path).is_file(), uri
        if uri.startswith("package:"):
            assert package_of(uri) in dependencies_of(path) | {own_package(path)}, f"{uri} is in no pubspec.yaml"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_every_type_is_declared_here_or_imported(path):
    tokens = tokens_of(path.read_text(encoding="utf-8"))
    used = {token.text for token in tokens if token.kind == "name" and re.match("[A-Z]", token.text) and len(token.text) > 1}

    visible = declared_in(path).union(*(names_of(uri, path) for uri in ["", *imports_of(path)]))

    assert used <= visible, f"from nowhere: {sorted(used - visible)}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_every_function_that_is_called_by_its_name_alone_is_declared_here_or_imported(path):
    tokens = tokens_of(path.read_text(encoding="utf-8"))
    pairs = zip(tokens, tokens[1:], tokens[2:], strict=False)
    called = {name.text for before, name, after in pairs if name.kind == "name" and after.text == "(" and before.text != "."}

    visible = declared_in(path).union(*(names_of(uri, path) for uri in ["", *imports_of(path)]))

    assert called - KEYWORDS <= visible, f"from nowhere: {sorted(called - KEYWORDS - visible)}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_every_import_is_used(path):
    used = {token.text for token in tokens_of(path.read_text(encoding="utf-8")) if token.kind == "name"}

    assert [uri for uri in imports_of(path, "import") if not names_of(uri, path) & used] == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_every_private_name_is_declared_in_its_file(path):
    tokens = tokens_of(path.read_text(encoding="utf-8"))
    private = {token.text for token in tokens if token.kind == "name" and re.match(r"_\w", token.text)}

    assert private <= declared_in(path), f"from nowhere: {sorted(private - declared_in(path))}"


@pytest.mark.parametrize(
    ("owner", "variables"),
    [("AuthService", r"(?:_?authService|auth)"), ("WebSocketService", r"(?:webSocket|service)"), ("ApiClient", r"(?:_?apiClient|api)")],
)
def test_whoever_calls_the_client_calls_what_it_has(owner, variables):
    declared = members_of(owner)

    called = {name for path in SOURCES for name in re.findall(rf"\b{variables}\.(\w+)", path.read_text(encoding="utf-8"))}

    assert len(called) >= 3
    assert called <= declared


def test_the_plain_package_needs_no_flutter():
    plain = [path for path in SOURCES if CLIENT / "flutter" not in path.parents]

    assert [path.name for path in plain if any("flutter" in uri for uri in imports_of(path))] == []
    assert "flutter" not in pubspec(CLIENT)["dependencies"]


def test_its_page_says_that_it_was_not_compiled():
    assert "**It was not compiled here**" in (CLIENT / "README.md").read_text(encoding="utf-8")


def imports_of(path, kinds="import|export"):
    return re.findall(rf"^(?:{kinds}) '([^']+)'", path.read_text(encoding="utf-8"), re.MULTILINE)


def target_of(uri, path):
    if uri.startswith("package:"):
        package, _, rest = uri.removeprefix("package:").partition("/")
        return PACKAGES.get(package, Path("/nowhere")) / "lib" / rest
    return path.parent / uri


def names_of(uri, path):
    """What an import makes visible: known names, or what a file declares, and what it exports of others."""
    if uri in KNOWN:
        return set(KNOWN[uri].split())
    target = target_of(uri, path)
    exported = re.findall(r"^export '([^']+)'(?: hide ([\w, ]+))?;", target.read_text(encoding="utf-8"), re.MULTILINE)
    names = {name for name in declared_in(target) if not name.startswith("_")}
    return names.union(*(names_of(each, target) - set(hidden.split(", ")) for each, hidden in exported))


def declared_in(path):
    """Types, functions, constants, fields, parameters and variables: a name after a type or a keyword that declares."""
    text = path.read_text(encoding="utf-8")
    patterns = [
        r"\b(?:class|enum|typedef)\s+(\w+)",
        r"\b(?:final|const|var|late|static)\s+(?:[\w<>?.,() ]+\s)?(\w+)\s*(?:[=;:}]|\bin\b)",
        r"^\s*(?!(?:await|case|else|if|return|throw)\b)(?:\w[\w<>?., ]*[\w>?]\s+(?:get\s+)?)(\w+)\s*(?:[(<;=]|=>|async)",
        r"\bFunction\([^()]*\)\??\s+(\w+)",
        r"\bthis\.(\w+)",
        r"<(T)>",
    ]
    return {name for pattern in patterns for name in re.findall(pattern, text, re.MULTILINE)}


def members_of(owner):
    [path] = [path for path in SOURCES if re.search(rf"^class {owner}\b", path.read_text(encoding="utf-8"), re.MULTILINE)]
    return {name for name in declared_in(path) if not name.startswith("_")}


def own_package(path):
    return "authserver_client_flutter" if CLIENT / "flutter" in path.parents else "authserver_client"


def package_of(uri):
    return uri.removeprefix("package:").partition("/")[0]


def pubspec(folder):
    return yaml.safe_load((folder / "pubspec.yaml").read_text(encoding="utf-8"))


def dependencies_of(path):
    """Code of lib may import what is needed to run, a test more than that."""
    described = pubspec(PACKAGES[own_package(path)])
    return {*described["dependencies"], *(described["dev_dependencies"] if path.parent.name == "test" else ())}
