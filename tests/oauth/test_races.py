"""Races over one session: real threads, a connection each, on both databases."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections

from accounts import clock
from accounts.models import AuditEvent, User
from oauth import clients, grant_types, session_rows, sessions
from oauth.errors import OAuthError
from oauth.http import Form
from oauth.models import Client, Session

pytestmark = pytest.mark.django_db(transaction=True)

ORIGIN = session_rows.Origin(address="198.51.100.7", user_agent="Editor/1")


@pytest.fixture
def at_once():
    """Call functions in threads that start together; gives each one's result, or the refusal it raised."""

    def run(*calls):
        barrier = threading.Barrier(len(calls))

        def one(call):
            try:
                barrier.wait(timeout=30)
                return call()
            except OAuthError as refusal:
                return refusal
            finally:
                connections.close_all()

        with ThreadPoolExecutor(len(calls)) as threads:
            return list(threads.map(one, calls))

    return run


@pytest.fixture
def spend(editor):
    def call(token, *, key=""):
        return sessions.refresh(token, client=editor, scope="", idempotency_key=key, origin=ORIGIN)

    return call


def outcomes(results):
    return Counter(getattr(result, "error", "issued") for result in results)


@pytest.mark.checklist(60)
@pytest.mark.parametrize("parallel", [2, 8, 60])
def test_of_parallel_refreshes_at_most_one_wins_and_the_session_ends(signed_in, spend, at_once, parallel):
    token = signed_in.body["refresh_token"]

    results = at_once(*[lambda: spend(token)] * parallel)

    assert outcomes(results) == {"issued": 1, "invalid_grant": parallel - 1}
    session = Session.objects.get()
    assert session.generation == 1
    assert session.revoked_reason == "refresh_token_reused"
    assert AuditEvent.objects.filter(event="session:refresh_token:reused").count() == 1


@pytest.mark.checklist(60)
@pytest.mark.parametrize("parallel", [2, 8, 60])
def test_with_an_overlap_parallel_refreshes_all_get_the_one_successor(signed_in, spend, at_once, settings, parallel):
    settings.REFRESH_OVERLAP_SECONDS = 10
    token = signed_in.body["refresh_token"]

    results = at_once(*[lambda: spend(token)] * parallel)

    assert outcomes(results) == {"issued": parallel}
    assert len({result.refresh_token_value for result in results}) == 1
    session = Session.objects.get()
    assert (session.generation, session.revoked_at) == (1, None)
    assert spend(results[0].refresh_token_value)


def test_parallel_retries_with_one_key_all_get_the_one_successor(signed_in, spend, at_once):
    token = signed_in.body["refresh_token"]

    results = at_once(*[lambda: spend(token, key="one-key-for-all-of-them")] * 20)

    assert outcomes(results) == {"issued": 20}
    assert len({result.refresh_token_value for result in results}) == 1


def test_parallel_refreshes_of_a_session_that_lost_writes_catch_up_once(signed_in, spend, at_once, settings):
    settings.REFRESH_OVERLAP_SECONDS = 10
    token = signed_in.body["refresh_token"]
    for _ in range(3):
        token = spend(token).refresh_token_value
    Session.objects.update(generation=1)

    results = at_once(*[lambda: spend(token)] * 8)

    assert outcomes(results) == {"issued": 8}
    assert len({result.refresh_token_value for result in results}) == 1
    assert Session.objects.get().generation == 4
    assert AuditEvent.objects.filter(event="session:refresh:caught_up").count() == 1


@pytest.mark.parametrize(
    "end",
    [
        lambda: sessions.revoke(Session.objects.get().pk, reason="test"),
        lambda: User.objects.filter(username="alice").update(is_active=False),
        lambda: User.objects.filter(username="alice").update(session_epoch=7),
        lambda: Client.objects.update(is_active=False),
    ],
    ids=["revoke", "disable user", "raise epoch", "disable client"],
)
def test_after_a_refresh_raced_with_an_end_nothing_is_left_alive(signed_in, spend, at_once, end):
    token = signed_in.body["refresh_token"]

    first, _ = at_once(lambda: spend(token), end)

    newest = getattr(first, "refresh_token_value", token)
    with pytest.raises(OAuthError):
        spend(newest)


def test_once_a_client_is_disabled_no_token_of_its_own_is_issued(robot, signing_key, at_once):
    """Twenty requests race with the switch: whoever begins after it gets nothing, although every process has the client cached."""
    disabled = threading.Event()

    def ask():
        began_after = disabled.is_set()
        client = clients.cache.find("robot")
        request = grant_types.TokenRequest(Form({"scope": "api:read"}), client, ORIGIN, "", clock.now())
        try:
            grant_types.client_credentials(request)
        except OAuthError:
            return "refused", began_after
        return "issued", began_after

    def disable():
        Client.objects.filter(client_id="robot").update(is_active=False)
        disabled.set()

    results = [result for result in at_once(*[ask] * 10, disable, *[ask] * 10) if result is not None]
    afterwards = [ask() for _ in range(3)]

    assert ("issued", True) not in results
    assert afterwards == [("refused", True)] * 3


def test_a_chain_of_refreshes_under_parallel_reuse_never_forks(signed_in, spend, at_once):
    """Several thieves with one copy: two live tokens never come out, whoever is first."""
    token = signed_in.body["refresh_token"]
    live = {spend(token).refresh_token_value}
    for _ in range(10):
        current = next(iter(live))
        results = at_once(*[lambda current=current: spend(current)] * 3)
        live = {result.refresh_token_value for result in results if not isinstance(result, OAuthError)}
        assert len(live) <= 1
        if not live:
            break

    assert Session.objects.get().revoked_at is not None


def test_a_first_key_made_by_several_processes_is_one(db, at_once):
    from oauth import key_rotation
    from oauth.models import SigningKey

    SigningKey.objects.all().delete()

    made = at_once(*[key_rotation.ensure_first] * 4)

    assert len({key.kid for key in made}) == 1
    assert SigningKey.objects.count() == 1
