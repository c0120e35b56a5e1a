"""The snippets of the page run."""

import re
from pathlib import Path

PAGE = (Path(__file__).parent.parent / "README.md").read_text("utf-8")
[SERVICE, TESTS] = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_snippet_for_services_verifies_a_token(issuer, monkeypatch):
    monkeypatch.setenv("AUTH_ISSUER", issuer.url)
    names = {"value": issuer.mint(sub="alice")}

    exec(SERVICE, names)  # noqa: S102 - of our own page

    assert names["token"].subject == "alice"


def test_the_snippet_for_tests_is_a_test():
    exec(TESTS, {})  # noqa: S102 - of our own page


def test_every_variable_that_is_read_is_in_the_table():
    source = (Path(__file__).parent.parent / "authserver_verifier/verifier.py").read_text("utf-8")

    assert set(re.findall(r"^\| (AUTH_\w+) \|", PAGE, re.MULTILINE)) == set(re.findall(r'"(AUTH_[A-Z_]+)"', source))
