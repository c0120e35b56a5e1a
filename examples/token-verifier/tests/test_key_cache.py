"""When the keys are fetched, who waits, and what holds while the server is down, slow or mad: over real HTTP."""

import gzip
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from authserver_verifier import KeyNotAtHand, VerifierUnavailable
from authserver_verifier.key_cache import KeyCache
from authserver_verifier.testing import PATIENT, SigningKey


@pytest.fixture
def cache(issuer, clock):
    return KeyCache(f"{issuer.url}/.well-known/jwks.json", PATIENT, clock=clock)


@pytest.fixture
def impatient(issuer, clock):
    return KeyCache(f"{issuer.url}/.well-known/jwks.json", replace(PATIENT, patience=0.2), clock=clock)


@pytest.fixture
def kid(issuer):
    return issuer.keys[0].kid


def settle():
    """Wait for the fetches that nobody waits for."""
    for thread in [thread for thread in threading.enumerate() if thread.name == "key-set"]:
        thread.join(20)


def with_status(status):
    return lambda request: request.send(status, b"down")


# --- While all is well ------------------------------------------------------------------------------


def test_many_threads_that_need_the_keys_fetch_them_once(issuer, cache, kid):
    honest = issuer.answer
    everybody = threading.Barrier(16)

    def slowly(request):
        time.sleep(0.2)  # the others come meanwhile
        honest(request)

    def find():
        everybody.wait(20)
        return cache.find(kid)

    issuer.answer = slowly
    with ThreadPoolExecutor(16) as pool:
        found = [future.result() for future in [pool.submit(find) for _ in range(16)]]

    assert None not in found
    assert issuer.requests == [200]


def test_the_keys_are_kept_as_long_as_the_server_says_and_then_asked_for_by_their_etag(issuer, cache, clock, kid):
    issuer.max_age = 600
    cache.find(kid)
    clock.now += 599
    cache.find(kid)
    assert issuer.requests == [200]

    clock.now += 1
    assert cache.find(kid) is not None
    clock.now += 599
    cache.find(kid)

    assert issuer.requests == [200, 304]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 3600),
        ({"Cache-Control": "public"}, 3600),
        ({"Cache-Control": "max-age=soon"}, 3600),
        ({"Cache-Control": "Public, Max-Age=120"}, 120),
        ({"Cache-Control": 'max-age="120"'}, 120),
        ({"Cache-Control": "max-age=600", "Age": "500"}, 100),
        ({"Cache-Control": "max-age=600", "Age": "900"}, 60),
        ({"Cache-Control": "max-age=0"}, 60),
        ({"Cache-Control": "no-store"}, 60),
        ({"Cache-Control": "no-cache, max-age=600"}, 60),
        ({"Cache-Control": "max-age=99999999"}, 86400),
        ({"Cache-Control": f"max-age={'9' * 5000}"}, 3600),
    ],
    ids=lambda value: str(value)[:50],
)
def test_the_lifetime_has_bounds(issuer, cache, clock, kid, headers, seconds):
    issuer.answer = lambda request: request.send(200, issuer.document(), **headers)
    cache.find(kid)

    clock.now += seconds - 1
    cache.find(kid)
    assert issuer.requests == [200]
    clock.now += 1
    cache.find(kid)

    assert issuer.requests == [200, 200]


# --- Keys that are not known ------------------------------------------------------------------------


def test_a_new_key_is_found_with_one_fetch(issuer, cache, kid):
    cache.find(kid)
    new = SigningKey()
    issuer.keys.insert(0, new)

    assert cache.find(new.kid) is not None
    assert cache.find(kid) is not None
    assert issuer.requests == [200, 200]


def test_a_key_that_is_published_no_more_is_known_no_more(issuer, cache, clock, kid):
    cache.find(kid)
    issuer.keys = [SigningKey()]
    clock.now += 3600

    assert cache.find(kid) is None


def test_made_up_kids_cause_one_fetch_in_ten_seconds(issuer, cache, clock, kid):
    cache.find(kid)

    for second in range(35):
        assert [cache.find(f"made-up-{second}-{number}") for number in range(20)] == [None] * 20
        assert cache.find(kid) is not None
        clock.now += 1

    assert issuer.requests == [200] + [304] * 4


def test_made_up_kids_hold_up_nobody_while_the_server_is_slow(issuer, impatient, kid):
    impatient.find(kid)
    ask, answered = threading.Event(), threading.Event()

    def hanging(request):
        ask.set()
        answered.wait(20)
        request.close_connection = True

    issuer.answer = hanging
    with ThreadPoolExecutor(4) as pool:
        made_up = [pool.submit(impatient.find, f"made-up-{number}") for number in range(4)]
        assert ask.wait(20)
        assert impatient.find(kid, wait=False) is not None  # known, and at hand at once
        # Those who wait are let go after their patience: nobody can say yet that their tokens are bad.
        assert [type(future.exception(20)) for future in made_up] == [VerifierUnavailable] * 4
    answered.set()
    settle()


def test_who_does_not_want_to_wait_is_told_that_the_keys_are_on_their_way(issuer, cache, kid):
    with pytest.raises(KeyNotAtHand):
        cache.find(kid, wait=False)
    settle()

    assert cache.find(kid, wait=False) is not None
    assert issuer.requests == [200]


# --- While the server is down -----------------------------------------------------------------------


def test_without_any_keys_nobody_can_tell_and_the_attempts_become_rare(issuer, cache, clock, kid):
    issuer.answer = with_status(503)
    waits = []

    for _ in range(9):
        with pytest.raises(VerifierUnavailable) as raised:
            cache.find(kid)
        waits.append(raised.value.retry_after)
        with pytest.raises(VerifierUnavailable):
            cache.find(kid)  # asks nobody
        clock.now += raised.value.retry_after

    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert issuer.requests == [503] * 9


def test_a_server_that_comes_back_is_believed_again(issuer, cache, clock, kid):
    honest, issuer.answer = issuer.answer, with_status(503)
    with pytest.raises(VerifierUnavailable):
        cache.find(kid)
    issuer.answer = honest
    clock.now += 1

    assert cache.find(kid) is not None
    assert cache.find("unknown") is None


def test_the_keys_stay_in_use_for_a_day_while_the_server_is_down_and_nobody_waits_for_it(issuer, cache, clock, kid):
    cache.find(kid)
    issuer.answer = with_status(503)
    clock.now += 3600
    assert cache.find(kid) is not None  # the first one hears it

    for _ in range(23):
        clock.now += 3600
        assert cache.find(kid, wait=False) is not None
        settle()
    assert issuer.requests == [200] + [503] * 24
    clock.now += 3600

    with pytest.raises(VerifierUnavailable):
        cache.find(kid)


def test_an_unknown_key_is_not_called_bad_while_nobody_can_look(issuer, cache, kid):
    cache.find(kid)
    issuer.answer = with_status(503)

    for _ in range(3):
        with pytest.raises(VerifierUnavailable):
            cache.find("new, or made up")

    assert cache.find(kid) is not None
    assert issuer.requests == [200, 503]


def test_a_port_where_nobody_listens_is_a_server_that_is_down(clock):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and never listens
        cache = KeyCache(f"http://127.0.0.1:{taken.getsockname()[1]}/", PATIENT, clock=clock)

        with pytest.raises(VerifierUnavailable):
            cache.find("any")


def test_a_server_that_hangs_when_the_keys_are_old_holds_up_nobody_for_longer_than_their_patience(issuer, cache, clock, kid):
    cache.find(kid)
    asked, answered = threading.Event(), threading.Event()

    def hanging(request):
        asked.set()
        answered.wait(20)
        request.close_connection = True

    issuer.answer = hanging
    clock.now += 3600
    with pytest.raises(KeyNotAtHand):
        cache.find(kid, wait=False)
    assert asked.wait(20)
    clock.now += PATIENT.patience

    assert cache.find(kid, wait=False) is not None
    answered.set()
    settle()


# --- While the server is mad ------------------------------------------------------------------------


def redirect(request):
    request.send(302, b"", Location=f"{request.issuer.url}/.well-known/jwks.json?again")


def endless(request):
    request.issuer.requests.append(200)
    request.send_response(200)
    request.end_headers()
    try:
        while True:
            request.wfile.write(b" " * 65536)
    except OSError:  # it hangs up on us, as it should
        request.close_connection = True


MAD = {
    "404": with_status(404),
    "304 to who asked without an etag": with_status(304),
    "a redirect": redirect,
    "HTML": lambda request: request.send(200, b"<!doctype html>"),
    "an empty body": lambda request: request.send(200, b""),
    "an empty set": lambda request: request.send(200, b'{"keys": []}'),
    "huge": lambda request: request.send(200, request.issuer.document() + b" " * 65536),
    "endless": endless,
    "compressed": lambda request: request.send(200, gzip.compress(request.issuer.document()), **{"Content-Encoding": "gzip"}),
    "cut short": lambda request: request.send(200, request.issuer.document()[:-20]),
}


@pytest.mark.parametrize("answer", MAD.values(), ids=MAD)
def test_what_is_no_key_set_is_never_taken_for_one(issuer, cache, kid, answer):
    issuer.answer = answer

    with pytest.raises(VerifierUnavailable):
        cache.find(kid)
    assert len(issuer.requests) == 1


@pytest.mark.parametrize("name", [name for name in MAD if "304" not in name])
def test_what_is_no_key_set_leaves_the_keys_as_they_are(issuer, cache, clock, kid, name):
    cache.find(kid)
    issuer.answer = MAD[name]
    clock.now += 3600

    assert cache.find(kid) is not None
    assert len(issuer.requests) == 2


def a_byte_at_a_time(request):
    """Each comes in time; the header never ends."""
    request.issuer.requests.append(200)
    try:
        while True:
            request.wfile.write(b"x")
            time.sleep(0.01)
    except OSError:
        request.close_connection = True


def test_a_server_that_sends_a_byte_at_a_time_is_given_up(issuer, clock, kid):
    cache = KeyCache(f"{issuer.url}/.well-known/jwks.json", replace(PATIENT, fetch_limit=0.3), clock=clock)
    issuer.answer = lambda request: (request.wfile.write(b"HTTP/1.1 200 OK\r\nX-Endless: "), a_byte_at_a_time(request))
    started_at = time.monotonic()

    with pytest.raises(VerifierUnavailable):
        cache.find(kid)

    assert 0.3 <= time.monotonic() - started_at < 15


def test_an_attempt_that_never_comes_back_is_given_up(issuer, cache, clock, kid, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", lambda thread: None)  # as in the child of a fork: the thread is not there
        with pytest.raises(KeyNotAtHand):
            cache.find(kid, wait=False)
    with pytest.raises(KeyNotAtHand):
        cache.find(kid, wait=False)
    clock.now += 4 * PATIENT.fetch_limit

    assert cache.find(kid) is not None
