"""A process whose clock is wrong decides nothing by it: what is stored expires, and locks, by the clock of the database."""

from datetime import UTC, datetime, timedelta

import jwt
import pytest
from django.db import connection

from accounts import clock
from accounts.clock import Instant
from oauth.models import Session

WRONG = [timedelta(minutes=minutes) for minutes in (-5, 5, 60)]


@pytest.fixture
def skewed(monkeypatch, db):
    """The clock of this process alone steps by so much, in the middle of everything."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no clock of its own")

    def step(by):
        monkeypatch.setattr(clock, "now", lambda: datetime.now(UTC) + clock.offset + by)

    return step


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_a_lock_holds_as_long_as_the_database_says(skewed, sign_in, later, wrong):
    for _ in range(5):
        sign_in(password="wrong")
    assert sign_in().error == "account_locked"

    skewed(wrong)
    locked = sign_in()
    later(minutes=16)

    assert locked.error == "account_locked"
    assert 0 < locked.body["retry_after"] <= 900
    assert sign_in().status == 200


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_a_session_lives_as_long_as_the_database_says(skewed, sign_in, refresh, session_of, wrong):
    live, over = sign_in(), sign_in()
    Session.objects.filter(pk=session_of(live).pk).update(expires_at=Instant(plus=timedelta(seconds=60)))
    Session.objects.filter(pk=session_of(over).pk).update(expires_at=Instant(plus=timedelta(seconds=-1)))

    skewed(wrong)

    assert refresh(over.body["refresh_token"]).error == "invalid_grant"
    assert refresh(live.body["refresh_token"]).status == 200


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_what_it_writes_is_stamped_by_the_database(skewed, sign_in, session_of, wrong):
    skewed(wrong)

    session = session_of(sign_in())

    assert abs(session.created_at - datetime.now(UTC)) < timedelta(seconds=30)
    assert abs(session.expires_at - session.created_at - timedelta(days=30)) < timedelta(seconds=30)


@pytest.mark.parametrize("apart", [timedelta(seconds=-2), timedelta(seconds=2)], ids=str)
def test_a_token_of_one_process_is_good_at_another_whose_clock_is_seconds_away(skewed, sign_in, client, apart):
    skewed(apart)
    token = sign_in().body["access_token"]

    skewed(timedelta(0))

    assert client.get("/api/v1/me", headers={"authorization": f"Bearer {token}"}).status_code == 200
    assert jwt.decode(token, options={"verify_signature": False})["nbf"] < clock.now().timestamp()  # also for who allows for no skew
