"""Who may wait for a database that is slow, and for how long."""

import threading
import time
from contextlib import ExitStack

import pytest
from django.conf import settings

from authserver.patience import REQUEST_SECONDS, SLOW_PROBE_SECONDS, SLOW_SECONDS, STATEMENT_SECONDS, Patience
from authserver.patience import patience as of_this_process


@pytest.fixture
def patience():
    return Patience(threads=2)


def in_another_thread(do):
    thread = threading.Thread(target=do)
    thread.start()
    thread.join()


def wait(patience, seconds, *, is_page=False):
    with patience.serving(is_page=is_page):
        patience.note(seconds)


def test_while_the_database_is_slow_one_thread_is_kept_free(patience):
    in_another_thread(lambda: wait(patience, SLOW_SECONDS))

    with patience.serving(is_page=False):
        assert not patience.is_full()
        with patience.serving(is_page=False):
            assert patience.is_full()
    assert not patience.is_full()


def test_while_it_is_not_all_threads_may_wait(patience):
    wait(patience, SLOW_SECONDS / 2)
    wait(patience, SLOW_SECONDS / 2)

    with ExitStack() as requests:
        for _ in range(3):
            requests.enter_context(patience.serving(is_page=False))
        assert not patience.is_full()


def test_a_request_has_waited_for_all_of_its_statements_together(patience):
    with patience.serving(is_page=False):
        patience.note(SLOW_SECONDS / 2)
        assert patience.until_slow() == pytest.approx(SLOW_SECONDS / 2)
        patience.note(SLOW_SECONDS / 2)
        with patience.serving(is_page=False):
            assert patience.is_full()


def test_a_slow_read_that_waits_for_no_lock_is_enough(patience):
    with patience.probing():
        assert patience.until_slow() == SLOW_PROBE_SECONDS
        patience.note(SLOW_PROBE_SECONDS)

    with patience.serving(is_page=False), patience.serving(is_page=False):
        assert patience.is_full()


def test_while_it_hangs_no_request_waits_and_an_answer_ends_that(patience):
    patience.give_up()

    with patience.serving(is_page=False):
        assert patience.left() == 0
    with patience.serving(is_page=True):
        assert patience.left() == STATEMENT_SECONDS
    with patience.probing():
        assert patience.left() == STATEMENT_SECONDS
        patience.note_answer()
    with patience.serving(is_page=False):
        assert patience.left() == STATEMENT_SECONDS


def test_a_page_may_take_its_time_and_says_nothing_about_the_database(patience):
    wait(patience, 10 * SLOW_SECONDS, is_page=True)

    with patience.serving(is_page=True), patience.serving(is_page=True):
        assert not patience.is_full()
        assert patience.left() == STATEMENT_SECONDS


def test_a_statement_has_what_its_request_has_left_of_waiting(patience, monkeypatch):
    with patience.serving(is_page=False):
        assert patience.left() == STATEMENT_SECONDS
        # A hash, a queue, a client that sends its body slowly: none of it is the database's.
        now = time.monotonic()
        monkeypatch.setattr("authserver.patience.time.monotonic", lambda: now + 60)
        assert patience.left() == STATEMENT_SECONDS
        patience.note(REQUEST_SECONDS - 0.5)
        assert patience.left() == pytest.approx(0.5)
    assert REQUEST_SECONDS > STATEMENT_SECONDS
    assert patience.left() == STATEMENT_SECONDS


def test_who_reads_much_may_take_longer_and_says_nothing_about_the_database(patience):
    with patience.reading_for(60):
        assert patience.left() == patience.until_slow() == 60
        patience.note(30)

    assert patience.left() == STATEMENT_SECONDS
    with patience.serving(is_page=False), patience.serving(is_page=False):
        assert not patience.is_full()


def test_a_row_that_many_wait_for_is_no_slow_database(patience):
    wait(patience, SLOW_SECONDS)
    assert not patience.is_slow()

    with patience.probing():
        patience.note(SLOW_PROBE_SECONDS)
    assert patience.is_slow()


@pytest.fixture
def full(monkeypatch):
    """This process's database is slow, and as many requests wait for it as may."""
    monkeypatch.setattr(of_this_process, "_slow_until", time.monotonic() + 60)
    with ExitStack() as requests:
        for _ in range(settings.THREADS):
            requests.enter_context(of_this_process.serving(is_page=False))
        yield


@pytest.mark.parametrize("path", ["/oauth/token", "/api/v1/me", "/oauth/introspect"])
def test_a_program_too_many_is_told_when_to_come_again(client, full, path):
    answer = client.post(path)

    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
    assert answer["Retry-After"] in {"1", "2", "3"}


def test_a_person_too_many_is_shown_a_page(client, full):
    answer = client.get("/sign-in")

    assert (answer.status_code, answer["Content-Type"].partition(";")[0]) == (503, "text/html")
    assert answer["Retry-After"] in {"1", "2", "3"}
    assert "Try again shortly." in answer.text


@pytest.mark.django_db
def test_probes_tell_of_it_and_a_document_is_served(client, full, monkeypatch):
    live, ready, metrics = client.get("/live"), client.get("/ready"), client.get("/metrics")
    document = client.get("/.well-known/oauth-protected-resource")

    assert live.status_code == 200
    assert ready.json()["database"] == "ok"  # it is a row that all wait for
    assert metrics.status_code != 503
    assert document.status_code == 200

    monkeypatch.setattr(of_this_process, "_probe_slow_until", time.monotonic() + 60)
    ready = client.get("/ready")
    assert (ready.status_code, ready.json()["database"]) == (503, "slow")
