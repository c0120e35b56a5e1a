"""What is known of a session is in the database: no process has to remember it."""

import time

import pytest

USER = {"grant_type": "password", "username": "test", "password": "test123", "client_id": "test-client"}


def refresh(http, token):
    return http.post("/oauth/token", data={"grant_type": "refresh_token", "refresh_token": token, "client_id": "test-client"})


@pytest.mark.checklist(65)
def test_reuse_is_known_to_processes_that_never_saw_the_token(http, gunicorn):
    stolen = http.post("/oauth/token", data=USER).json()["refresh_token"]
    live = refresh(http, stolen).json()["refresh_token"]
    before = set(gunicorn.workers())
    for worker in before:
        gunicorn.kill(worker)
    while not set(gunicorn.workers()) - before:
        time.sleep(0.05)

    replayed = refresh(http, stolen)

    assert (replayed.status_code, replayed.json()["error"]) == (400, "invalid_grant")
    assert refresh(http, live).json()["error"] == "invalid_grant"
