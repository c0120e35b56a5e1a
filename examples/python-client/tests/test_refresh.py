"""When a refresh happens, how it is repeated, and what it never loses."""

import pytest
from authserver_client import AuthError, FileStore, InvalidClient, InvalidGrant, MemoryStore, RateLimited, TemporarilyUnavailable, session
from played_server import LOST, Refused, refused


def test_a_token_is_kept_until_one_minute_before_it_expires(signed_in, server, clock):
    first = signed_in.access_token()
    clock.pass_by(835)
    assert signed_in.access_token() == first
    assert server.refreshes() == []

    clock.pass_by(10)

    assert signed_in.access_token() != first
    assert len(server.refreshes()) == 1


def test_a_token_of_a_short_life_is_kept_for_half_of_it(connect, server, clock):
    server.expires_in = 30
    client = connect()
    client.sign_in("alice", server.password)
    first = client.access_token()
    clock.pass_by(10)
    assert client.access_token() == first

    clock.pass_by(10)

    assert client.access_token() != first


def test_the_life_of_a_token_begins_before_the_request_for_it(connect, server, clock):
    server.before_token = lambda: clock.pass_by(50)
    client = connect()
    client.sign_in("alice", server.password)
    clock.pass_by(795)

    client.access_token()

    assert len(server.refreshes()) == 1


def test_a_wall_clock_that_is_set_changes_nothing_for_tokens_in_memory(signed_in, server, clock):
    for ahead in (-7200, 7200):
        clock.wall_ahead = ahead
        signed_in.access_token()
    assert server.refreshes() == []

    clock.monotonic_ahead = 845
    signed_in.access_token()

    assert len(server.refreshes()) == 1


def test_stored_tokens_expire_by_the_wall_clock(connect, server, clock, tmp_path):
    connect(store=FileStore(tmp_path / "tokens")).sign_in("alice", server.password)
    clock.wall_ahead, clock.monotonic_ahead = 845, -1000  # the machine was started anew

    connect(store=FileStore(tmp_path / "tokens")).access_token()

    assert len(server.refreshes()) == 1


def test_a_wall_clock_that_was_set_back_keeps_no_stored_token_for_longer_than_it_lives(connect, server, clock, tmp_path):
    connect(store=FileStore(tmp_path / "tokens")).sign_in("alice", server.password)
    clock.wall_ahead = -7200
    client = connect(store=FileStore(tmp_path / "tokens"))
    client.access_token()
    clock.pass_by(845)

    client.access_token()

    assert len(server.refreshes()) == 1


def test_every_refresh_carries_a_key_of_its_own(signed_in, server):
    signed_in.refresh()
    signed_in.refresh()

    keys = [asked.headers["Idempotency-Key"] for asked in server.refreshes()]
    assert len(set(keys)) == 2
    assert all(16 <= len(key) <= 255 and key.isascii() for key in keys)


@pytest.mark.parametrize(
    "happens",
    [
        LOST,
        refused(503, "temporarily_unavailable"),
        Refused(502, "<h1>Bad Gateway</h1>"),
        Refused(504, ""),
        refused(429, "rate_limit_exceeded"),
    ],
)
def test_a_refresh_whose_answer_did_not_come_is_repeated_with_the_same_key(signed_in, server, happens):
    server.next = [happens, happens]

    token = signed_in.refresh()

    refreshes = server.refreshes()
    assert len(refreshes) == 3
    assert len({(asked.form["refresh_token"], asked.headers["Idempotency-Key"]) for asked in refreshes}) == 1
    assert token in server.good
    assert signed_in.refresh() in server.good


def test_a_refresh_is_tried_four_times_and_then_again_when_somebody_asks(connect, server):
    client = connect(store=(store := MemoryStore()))
    client.sign_in("alice", server.password)
    before = store.load()
    server.next = [LOST] * 4

    with pytest.raises(TemporarilyUnavailable, match=r"did not answer \(RemoteProtocolError\)"):
        client.refresh()

    assert len(server.refreshes()) == 4
    assert store.load() == before
    assert client.refresh() in server.good
    assert len({asked.headers["Idempotency-Key"] for asked in server.refreshes()}) == 1


def test_an_answer_that_takes_too_long_is_asked_for_again(server, connect, monkeypatch, release):
    monkeypatch.setattr("authserver_client.clients.TIMEOUT_SECONDS", 0.5)
    client = connect()
    client.sign_in("alice", server.password)
    slow = [release.wait, lambda: None]
    server.before_token = lambda: slow.pop(0)()

    assert client.refresh() in server.good

    assert len(server.refreshes()) == 2


def test_the_next_try_waits_for_as_long_as_the_server_says(signed_in, server):
    server.next = [refused(503, "temporarily_unavailable", headers={"Retry-After": "1"})]

    signed_in.refresh()

    first, second = server.refreshes()
    assert second.at - first.at >= 1


def test_who_is_told_to_come_back_after_the_answer_is_forgotten_is_told_so(signed_in, server):
    server.next = [refused(429, "rate_limit_exceeded", headers={"Retry-After": str(session.REPEAT_SECONDS + 1)})]

    with pytest.raises(RateLimited) as raised:
        signed_in.refresh()

    assert raised.value.retry_after == session.REPEAT_SECONDS + 1
    assert len(server.refreshes()) == 1


def test_while_the_server_is_away_the_token_serves_until_it_expires(signed_in, server, clock):
    token = signed_in.access_token()
    clock.pass_by(845)
    server.next = [refused(503, "temporarily_unavailable")] * 4

    assert signed_in.access_token() == token
    assert signed_in.access_token() == token
    assert len(server.refreshes()) == 4  # the second call did not ask again at once

    clock.pass_by(11)
    assert signed_in.access_token() != token


def test_when_it_has_expired_the_server_s_absence_is_told_and_no_token_is_lost(signed_in, server, clock):
    clock.pass_by(901)
    server.next = [LOST] * 4
    with pytest.raises(TemporarilyUnavailable):
        signed_in.access_token()

    assert signed_in.access_token() in server.good


def test_invalid_grant_signs_out(connect, server):
    client = connect(store=(store := MemoryStore()))
    client.sign_in("alice", server.password)
    server.end_session()

    with pytest.raises(InvalidGrant, match="the words for invalid_grant"):
        client.refresh()

    assert store.load() is None
    with pytest.raises(InvalidGrant, match="Nobody is signed in"):
        client.access_token()


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refused(401, "invalid_client"), InvalidClient),
        (refused(400, "invalid_request"), AuthError),
        (refused(500, "server_error"), AuthError),
        (Refused(200, "<h1>Welcome to the hotel</h1>"), AuthError),
    ],
)
def test_any_other_refusal_keeps_the_tokens(signed_in, server, answer, kind):
    server.next = [answer]

    with pytest.raises(kind):
        signed_in.refresh()

    assert signed_in.refresh() in server.good


def test_a_process_that_dies_before_it_stored_the_answer_loses_no_session(connect, server):
    class Dying(MemoryStore):
        saved = 0

        def save(self, tokens):
            self.saved += 1
            if self.saved == 2:
                raise OSError("the disk is full")
            super().save(tokens)

    store = Dying()
    client = connect(store=store)
    client.sign_in("alice", server.password)
    with pytest.raises(OSError, match="disk is full"):
        client.refresh()

    assert connect(store=store).refresh() in server.good

    assert len({asked.headers["Idempotency-Key"] for asked in server.refreshes()}) == 1


def test_who_gets_no_refresh_token_signs_in_again(connect, server, clock):
    client = connect(store=(store := MemoryStore()))
    server._tokens = lambda scope: {"access_token": "short", "token_type": "Bearer", "expires_in": 900, "scope": scope}
    client.sign_in("alice", server.password)
    assert client.access_token() == "short"
    clock.pass_by(845)

    with pytest.raises(InvalidGrant, match="no refresh token"):
        client.access_token()

    client.sign_out()
    assert server.asked[-1].form["token"] == "short"
    assert store.load() is None
