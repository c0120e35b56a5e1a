"""What is said of the locked packages is true, and nothing is called audited that was not (tests/supply)."""

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import PathDistribution

import pytest

from deploy import build_argon2
from tests.supply import audit, bill, licences, locked
from tests.supply.locked import Package

DJANGO, REDIS = Package("django", "3.2.0"), Package("redis", "8.1.0")
NO_FLAWS, CANARYS = {"vulns": []}, [{"id": "PYSEC-2019-217", "aliases": ["CVE-2019-10906"], "fix_versions": ["2.10.1"]}]
KNOWN_CANARY = {"name": audit.CANARY.name, "version": audit.CANARY.version, "vulns": CANARYS}

# --- The lock file -------------------------------------------------------------------------------

LOCK = f"""\
cffi==2.1.1 ; platform_python_implementation != 'PyPy' \\
    --hash=sha256:{"a" * 64} \\
    --hash=sha256:{"b" * 64}
    # via
    #   -c requirements.txt
    #   authserver (pyproject.toml)
    #   pynacl
pynacl==1.6.2 \\
    --hash=sha256:{"c" * 64}
    # via authserver (pyproject.toml)
"""


def test_each_entry_is_read_with_its_hashes_and_who_asks_for_it(tmp_path):
    (tmp_path / "requirements.txt").write_text(LOCK)

    cffi, pynacl = locked.read(tmp_path / "requirements.txt")

    assert cffi == Package("cffi", "2.1.1", "platform_python_implementation != 'PyPy'", ["a" * 64, "b" * 64], ["authserver", "pynacl"])
    assert pynacl == Package("pynacl", "1.6.2", "", ["c" * 64], ["authserver"])


def test_a_line_that_is_not_understood_is_not_passed_over(tmp_path):
    (tmp_path / "requirements.txt").write_text(LOCK + "redis>=8\n")

    with pytest.raises(ValueError, match=r"requirements\.txt:11 cannot be read: 'redis>=8'"):
        locked.read(tmp_path / "requirements.txt")


def test_what_is_installed_in_another_version_is_not_taken_for_the_locked_one():
    with pytest.raises(ValueError, match=r"django is locked at 3\.2\.0, but 5"):
        DJANGO.distribution()


# --- Licences ------------------------------------------------------------------------------------


@pytest.fixture
def installed(tmp_path):
    """A package with these lines of metadata, and a licence text when there is one."""

    def make(*lines, text=""):
        folder = tmp_path / "editor-1.0.dist-info"
        folder.mkdir(exist_ok=True)
        (folder / "METADATA").write_text("\n".join(["Metadata-Version: 2.4", "Name: editor", "Version: 1.0", *lines, ""]))
        (folder / "LICENSE").write_text(text)
        (folder / "RECORD").write_text("editor-1.0.dist-info/LICENSE,,\n")
        return PathDistribution(folder)

    return make


@pytest.mark.parametrize("line", ["License-Expression: MIT OR Apache-2.0", "License: MIT OR Apache-2.0"])
def test_a_licence_is_read_where_metadata_says_it_as_an_expression(installed, line):
    assert licences.licence_of("editor", installed(line)) == "MIT OR Apache-2.0"


@pytest.mark.parametrize("line", ["License: BSD", "License: see LICENSE", "Classifier: License :: OSI Approved :: MIT License"])
def test_words_that_are_no_expression_are_not_taken_for_one(installed, line):
    with pytest.raises(licences.Unknown, match="read its licence texts"):
        licences.licence_of("editor", installed(line))


def test_a_text_that_was_read_has_to_be_read_again_when_it_changes(installed, monkeypatch):
    read = licences.digest_of_texts(installed("License: BSD", text="Do as you like."))
    monkeypatch.setitem(licences.READ_BY_HAND, "editor", ("BSD-3-Clause", read))
    assert licences.licence_of("editor", installed("License: BSD", text="Do as you like.")) == "BSD-3-Clause"

    with pytest.raises(licences.Unknown, match="are not those that were read"):
        licences.licence_of("editor", installed("License: BSD", text="Do as we like."))


@pytest.mark.parametrize(
    ("name", "expression", "is_allowed"),
    [
        ("editor", "MIT", True),
        ("editor", "MIT AND BSD-3-Clause", True),
        ("editor", "GPL-3.0-only OR MIT", True),
        ("editor", "GPL-3.0-only", False),
        ("editor", "MIT AND AGPL-3.0-or-later", False),
        ("editor", "GPL-2.0-only WITH Classpath-exception-2.0", False),
        ("editor", "LGPL-3.0-only", False),  # for psycopg alone
        ("psycopg", "LGPL-3.0-only", True),
        ("psycopg", "GPL-3.0-only", False),
        ("editor", "BSD-3-Clause AND (MIT OR SSPL-1.0)", True),
        ("editor", "LicenseRef-scancode-commercial-license", False),
    ],
)
def test_of_a_choice_one_licence_has_to_be_allowed_and_of_parts_each(name, expression, is_allowed):
    assert licences.is_allowed(name, expression) is is_allowed


def test_what_is_not_allowed_or_not_on_the_page_is_told(monkeypatch):
    packages = [package for package in locked.read() if package.name in {"psycopg", "redis"}]
    monkeypatch.delitem(licences.WITH_CONDITIONS, ("psycopg", "LGPL-3.0-only"))

    found = [*licences.problems(packages)]

    assert found == [
        "the licence of psycopg is not allowed: LGPL-3.0-only",
        "docs/licences.md is not what is installed: run make licences",  # it has rows of packages that are not among these two
    ]


def test_each_licence_with_conditions_is_named_on_the_page_and_still_needed():
    page, found = licences.PAGE.read_text(encoding="utf-8"), licences.known_licences(locked.read())

    for name, licence in licences.WITH_CONDITIONS:
        assert licence in found[name]
        assert f"`{name}`" in page.partition(licences.BEGIN)[0]
    assert licences.READ_BY_HAND.keys() <= {package.name for package in locked.read()}
    assert all(f"`{licence}`" in page for licence in licences.PERMISSIVE)


# --- The bill of materials -----------------------------------------------------------------------


def test_the_bill_lists_what_is_locked_with_its_hashes_licence_and_dependencies(tmp_path):
    packages = locked.read()

    assert bill.write(packages, tmp_path / "build" / "bill.json") == len(packages) + 1
    written = json.loads((tmp_path / "build" / "bill.json").read_text())

    components = {component["name"]: component for component in written["components"]}
    argon2 = components.pop("libargon2")
    wants = {entry["ref"]: entry.get("dependsOn", []) for entry in written["dependencies"]}
    [redis] = [package for package in packages if package.name == "redis"]
    assert (written["bomFormat"], written["specVersion"]) == ("CycloneDX", "1.6")
    assert written["metadata"]["component"]["name"] == "authserver"
    assert components.keys() == {package.name for package in packages}
    assert components["redis"]["purl"] == f"pkg:pypi/redis@{redis.version}"
    assert {each["content"] for each in components["redis"]["hashes"]} == {*redis.hashes}
    assert components["psycopg"]["licenses"] == [{"expression": "LGPL-3.0-only"}]
    assert components["redis"]["purl"] in wants[components["django-redis"]["purl"]]
    assert components["django"]["purl"] in wants["authserver"]
    assert components["redis"]["purl"] not in wants["authserver"]
    assert (argon2["purl"], argon2["scope"]) == (f"pkg:github/p-h-c/phc-winner-argon2@{build_argon2.OF_ARGON2}", "optional")
    assert argon2["licenses"] == [{"expression": "CC0-1.0 OR Apache-2.0"}]
    assert argon2["properties"][0]["value"].endswith(build_argon2.SHA256)
    assert argon2["purl"] in wants["authserver"]
    assert (components["redis"]["scope"], components["opentelemetry-sdk"]["scope"]) == ("required", "optional")
    # What is for other machines is on the list, and says so.
    assert (components["colorama"]["scope"], components["colorama"]["properties"][0]["value"]) == ("optional", "sys_platform == 'win32'")
    assert {name for name, component in components.items() if "licenses" not in component and not component.get("properties")} == set()


# --- What is known against them ------------------------------------------------------------------


def test_a_package_that_was_passed_over_was_not_audited():
    report = [{"name": "django", "skip_reason": "Dependency not found on PyPI"}, {"name": "redis", **NO_FLAWS}, KNOWN_CANARY]

    with pytest.raises(audit.NotAudited, match="no answer for 1 of 3 packages, such as django"):
        audit.judge([DJANGO, REDIS], report)


def test_who_knows_nothing_of_a_flaw_that_everybody_knows_is_not_believed():
    report = [{"name": "django", **NO_FLAWS}, KNOWN_CANARY | NO_FLAWS]

    with pytest.raises(audit.NotAudited, match=r"knows nothing against jinja2 2\.4\.1"):
        audit.judge([DJANGO], report)


def test_an_accepted_flaw_is_told_with_its_reason_and_another_is_a_flaw(monkeypatch):
    monkeypatch.setitem(audit.ACCEPTED, "CVE-2021-1", "no page takes a file")
    flaws = [
        {"id": "PYSEC-1", "aliases": ["CVE-2021-1"], "fix_versions": ["3.2.1"]},
        {"id": "PYSEC-2", "aliases": ["CVE-2021-2"], "fix_versions": []},
    ]

    verdict = audit.judge([DJANGO], [{"name": "django", "vulns": flaws}, KNOWN_CANARY])

    assert verdict.accepted == ["django 3.2.0: PYSEC-1 CVE-2021-1, mended in 3.2.1: no page takes a file"]
    assert verdict.flaws == ["django 3.2.0: PYSEC-2 CVE-2021-2, mended in no version yet"]


def flaw(name, number, fixed):
    return {
        "id": f"PYSEC-{number}",
        "aliases": [f"CVE-{number}"],
        "summary": "A flaw.",
        "published": "2021-01-01T00:00:00Z",
        "affected": [
            {
                "package": {"name": name, "ecosystem": "PyPI"},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": fixed}]}],
            }
        ],
    }


@pytest.fixture
def service():
    """A vulnerability service of the form of OSV, which knows of these flaws by name; its URL."""
    flaws = {audit.CANARY.name: [flaw(audit.CANARY.name, "2019-1", "2.10.1")], "django": [flaw("django", "2021-1", "3.2.1")]}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps({"vulns": flaws[asked["package"]["name"]]} if asked["package"]["name"] in flaws else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
        server.shutdown()
        thread.join()


def test_a_service_that_is_reached_is_asked_about_each_package(service, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    verdict = audit.audit([DJANGO, REDIS], "--vulnerability-service", "osv", "--osv-url", service)

    assert verdict == audit.Verdict(2, ["django 3.2.0: PYSEC-2021-1 CVE-2021-1, mended in 3.2.1"])


def test_without_a_service_nothing_is_called_audited(monkeypatch, capsys):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/v1/query"

    refused = audit.main(["--vulnerability-service", "osv", "--osv-url", url])
    monkeypatch.setattr(audit, "PATIENCE_OF_CHECK_SECONDS", 0.1)
    unanswered = audit.main(["--if-reachable", "--vulnerability-service", "osv", "--osv-url", url])

    first, second = capsys.readouterr().out.splitlines()
    assert (refused, unanswered) == (2, 0)
    assert first.startswith("not audited: pip-audit failed: ")
    assert second == "not audited: no answer within 0.1 seconds"
