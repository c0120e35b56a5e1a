"""Who is sent away when more requests come than are served, and for how long."""

import threading
import time

import pytest

from authserver.crowding import FIRST_PACE, LATE_SECONDS, LEAST_PACE, LONGEST_AWAY_SECONDS, Crowding
from authserver.crowding import crowding as of_this_process


@pytest.fixture
def begun():
    """How many requests the process has begun with."""
    return [0]


@pytest.fixture
def crowding(begun):
    return Crowding(begun=lambda: begun[0])


def test_who_waited_for_a_thread_for_long_is_late_and_the_next_one_is_not(crowding):
    crowding.note_queue(LATE_SECONDS + 0.01)
    assert crowding.is_late()
    other = threading.Thread(target=crowding.note_queue, args=[0])
    other.start()
    other.join()
    assert crowding.is_late()

    crowding.note_queue(LATE_SECONDS)
    assert not crowding.is_late()


def test_each_who_is_sent_away_is_given_a_place_of_their_own(crowding):
    places = [crowding.seconds_until_room() for _ in range(int(3 * FIRST_PACE))]

    assert places == sorted(places)
    assert (places[0], places[-1]) in {(0, 2), (0, 3)}


def test_nobody_is_sent_away_for_ever(crowding):
    assert max(crowding.seconds_until_room() for _ in range(int(2 * LONGEST_AWAY_SECONDS * FIRST_PACE))) == LONGEST_AWAY_SECONDS


@pytest.mark.parametrize(("served", "a_second"), [(500, 500), (0, LEAST_PACE)])
def test_places_follow_one_another_as_requests_were_served(crowding, begun, monkeypatch, served, a_second):
    now = time.monotonic()
    monkeypatch.setattr("authserver.crowding.time.monotonic", lambda: now)
    crowding.seconds_until_room()

    begun[0], now = served + 1, now + 1  # one of them was sent away
    places = [crowding.seconds_until_room() for _ in range(int(5 * a_second))]

    assert places[-1] in {4, 5}


@pytest.fixture
def late():
    """The requests of this thread have waited for long."""
    of_this_process.note_queue(LATE_SECONDS + 1)
    yield
    of_this_process.note_queue(0)


def test_a_program_that_is_late_is_told_when_to_come_again(client, late):
    answer = client.post("/oauth/token")

    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
    assert int(answer["Retry-After"]) >= 1


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/live", "/.well-known/oauth-authorization-server", "/sign-in"])
def test_probes_documents_and_people_are_served_however_late(client, late, path):
    assert client.get(path).status_code == 200
