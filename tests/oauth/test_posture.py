"""What is said of a client's security, and of the server's (RFC 9700)."""

from datetime import timedelta

import pytest
from django.core import checks

from accounts import clock
from oauth import posture
from oauth.models import Client
from oauth.posture import Severity
from tests.staff import let_in, page

NOW = clock.now()


def client_with(**fields):
    """A confidential service of which there is nothing to say, but for these."""
    plain = {
        "client_type": Client.CLIENT_CONFIDENTIAL,
        "grant_types": ["client_credentials"],
        "allowed_scopes": "api:read",
        "secret_created_at": NOW - timedelta(days=10),
    }
    return Client(**plain | fields)


def codes(client, **how):
    return [finding.code for finding in posture.findings(client, now=NOW, **how)]


def test_of_a_plain_service_there_is_nothing_to_say():
    assert codes(client_with()) == []


@pytest.mark.spec("RFC 9700", "2.4", "the password grant is not used")
def test_the_password_grant_is_a_risk():
    [finding] = posture.findings(client_with(grant_types=["password"]), now=NOW)

    assert (finding.code, finding.severity) == ("password_grant", Severity.RISK)
    assert finding.words
    assert finding.mend


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"secret_created_at": NOW - timedelta(days=366)}, ["old_secret"]),
        ({"secret_created_at": NOW - timedelta(days=364)}, []),
        ({"secret_created_at": None}, ["old_secret"]),
        ({"previous_secret_expires_at": NOW + timedelta(hours=1)}, ["two_secrets"]),
        ({"previous_secret_expires_at": NOW - timedelta(hours=1)}, []),
        ({"access_token_lifetime": 3601}, ["long_access_token"]),
        ({"access_token_lifetime": 3600}, []),
        ({"grant_types": ["refresh_token"], "refresh_token_lifetime": 91 * 86400}, ["long_refresh_token"]),
        ({"refresh_token_lifetime": 91 * 86400}, []),
        ({"refresh_overlap_seconds": 10}, ["overlap"]),
        ({"refresh_overlap_seconds": 0}, []),
        ({"allowed_scopes": "api:read auth:account"}, ["broad_scopes"]),
        ({"allowed_scopes": " ".join(f"api:{number}" for number in range(9))}, ["broad_scopes"]),
        ({"may_introspect": True}, ["may_introspect"]),
        ({"client_type": Client.CLIENT_PUBLIC, "grant_types": ["refresh_token"], "secret_created_at": None}, ["public_client"]),
        ({"grant_types": ["authorization_code"]}, ["no_redirect_uri"]),
        ({"grant_types": ["authorization_code"], "redirect_uris": "https://a.example/cb"}, []),
        ({"grant_types": ["authorization_code"], "redirect_uris": "http://a.example/cb"}, ["plain_redirect_uri"]),
        ({"grant_types": ["authorization_code"], "redirect_uris": "http://127.0.0.1:8000/cb http://[::1]/cb http://localhost/cb"}, []),
        ({"grant_types": ["authorization_code"], "redirect_uris": "http://127.0.0.1.evil.example/cb"}, ["plain_redirect_uri"]),
    ],
)
def test_what_is_out_of_the_ordinary_is_said(fields, expected):
    assert codes(client_with(**fields)) == expected


@pytest.mark.spec("RFC 9700", "2.1.1", "PKCE")
def test_codes_without_pkce_are_a_risk():
    client = client_with(
        grant_types=["authorization_code"], redirect_uris="https://a.example/cb", client_type="confidential", require_pkce=False
    )

    assert "no_pkce" in codes(client)


def test_risks_come_first():
    found = posture.findings(client_with(may_introspect=True, refresh_overlap_seconds=1, grant_types=["password"]), now=NOW)

    assert [finding.severity for finding in found] == [Severity.RISK, Severity.NOTE, Severity.NOTE]


@pytest.mark.django_db
def test_the_page_of_a_client_says_it_in_words(client, make_user, editor, robot):
    let_in(client, make_user("root", is_staff=True, is_superuser=True))

    of_editor = client.get(page("change", editor)).content.decode()
    of_robot = client.get(page("change", robot.client)).content.decode()

    assert "The password grant is on" in of_editor
    assert "Nothing to say" in of_robot


# --- The server ------------------------------------------------------------------------------------


def told():
    return {message.id for message in checks.run_checks(tags=[checks.Tags.security], include_deployment_checks=True)}


@pytest.mark.parametrize(
    ("name", "value", "check_id"),
    [
        ("ACCESS_TOKEN_LIFETIME", timedelta(hours=2), "oauth.W003"),
        ("REFRESH_TOKEN_LIFETIME", timedelta(days=91), "oauth.W004"),
        ("REFRESH_OVERLAP_SECONDS", 10, "oauth.W005"),
        ("KEY_ROTATION_PERIOD", None, "oauth.W006"),
    ],
)
def test_the_server_is_told_of_what_weakens_it(settings, name, value, check_id):
    assert check_id not in told()

    setattr(settings, name, value)

    assert check_id in told()
