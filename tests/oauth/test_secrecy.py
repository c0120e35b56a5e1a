"""What holds a token shows it to nobody who prints or logs it."""

import uuid
from datetime import UTC, datetime

from oauth.access_tokens import SessionClaims
from oauth.authorization_codes import Exchange, Redeemed
from oauth.grant_types import TokenResponse
from oauth.sessions import Issued

CLAIMS = SessionClaims(sid=uuid.UUID(int=7), roles=(), auth_time=datetime(2026, 1, 1, tzinfo=UTC), amr=("pwd",))


def test_an_issued_session_does_not_show_its_refresh_token():
    issued = Issued(uuid.UUID(int=8), "api:read", "", CLAIMS, "the-refresh-token")

    assert "the-refresh-token" not in f"{issued} {issued!r}"


def test_what_a_client_sends_for_its_tokens_is_not_shown():
    sent = Exchange("the-code", "https://app.example/cb", "the-verifier", "")
    redeemed = Redeemed(Issued(uuid.UUID(int=8), "api:read", "", CLAIMS, "the-refresh-token"), "the-nonce")

    assert "the-" not in f"{sent} {sent!r} {redeemed} {redeemed!r}"


def test_a_token_response_does_not_show_its_tokens():
    response = TokenResponse("the-access-token", 900, "api:read", "the-refresh-token")

    assert "the-access-token" not in f"{response} {response!r}"
    assert "the-refresh-token" not in f"{response} {response!r}"
