"""The verifier as a whole: how it is set up, how it follows a rotation, and the headers of RFC 6750."""

import pytest
from authserver_verifier import InvalidToken, Verifier, VerifierUnavailable, bearer_token, challenge
from authserver_verifier.testing import SigningKey


def test_the_issuer_is_all_that_has_to_be_known(issuer):
    verifier = Verifier.from_environment({"AUTH_ISSUER": issuer.url})

    assert verifier.verify(issuer.mint(sub="alice")).subject == "alice"
    assert (verifier.rules.audience, verifier.rules.leeway_seconds, verifier.rules.accept_older_tokens) == ("codelab-api", 60, False)


def test_each_of_the_variables_is_heeded(issuer):
    verifier = Verifier.from_environment(
        {
            "AUTH_ISSUER": "https://auth.example",
            "AUTH_AUDIENCE": "billing",
            "AUTH_JWKS_URL": f"{issuer.url}/.well-known/jwks.json",
            "AUTH_LEEWAY_SECONDS": "0",
            "AUTH_ACCEPT_OLDER_TOKENS": "True",
        }
    )
    fitting = {"iss": "https://auth.example", "aud": "billing", "header": {"typ": "JWT"}}

    assert verifier.verify(issuer.mint(sub="alice", **fitting)).subject == "alice"
    with pytest.raises(InvalidToken):
        verifier.verify(issuer.mint(lifetime=-1, **fitting))


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({}, "AUTH_ISSUER"),
        ({"AUTH_ISSUER": "auth.example"}, "AUTH_JWKS_URL"),
        ({"AUTH_ISSUER": "x", "AUTH_JWKS_URL": "file:///etc/passwd"}, "AUTH_JWKS_URL"),
        ({"AUTH_ISSUER": "https://a", "AUTH_LEEWAY_SECONDS": "1m"}, "AUTH_LEEWAY_SECONDS"),
        ({"AUTH_ISSUER": "https://a", "AUTH_LEEWAY_SECONDS": "301"}, "AUTH_LEEWAY_SECONDS"),
        ({"AUTH_ISSUER": "https://a", "AUTH_ACCEPT_OLDER_TOKENS": "maybe"}, "AUTH_ACCEPT_OLDER_TOKENS"),
    ],
    ids=str,
)
def test_a_wrong_variable_is_named(variables, named):
    with pytest.raises(ValueError, match=named):
        Verifier.from_environment(variables)


def test_a_rotation_breaks_no_token(issuer):
    verifier = issuer.verifier()
    before = issuer.mint(sub="alice")
    verifier.verify(before)

    issuer.keys.insert(0, SigningKey())

    assert verifier.verify(issuer.mint(sub="bob")).subject == "bob"
    assert verifier.verify(before).subject == "alice"
    assert issuer.requests == [200, 200]


def test_without_keys_a_token_is_not_called_bad(issuer):
    issuer.answer = lambda request: request.send(500, b"")

    with pytest.raises(VerifierUnavailable):
        issuer.verifier().verify(issuer.mint())


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ([], None),
        (["Basic dXNlcjpwYXNz"], None),
        (["Bearer abc"], "abc"),
        (["bearer  abc "], "abc"),
        (["Bearer"], ""),
        (["Bearer a", "Bearer b"], "a,Bearer b"),
        (["Bearerabc"], None),
    ],
)
def test_the_token_of_a_request(headers, token):
    assert bearer_token(headers) == token


def test_the_challenges_of_rfc_6750():
    assert challenge() == 'Bearer realm="api"'
    assert challenge("invalid_token") == 'Bearer realm="api", error="invalid_token"'
    assert challenge("insufficient_scope", scope="api:write") == 'Bearer realm="api", error="insufficient_scope", scope="api:write"'
