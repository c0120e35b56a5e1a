"""PostgreSQL writes a refresh beside the row that it replaces (HOT): no index is touched, and the table does not grow with refreshes."""

import pytest
from django.db import connection

SESSIONS, ROUNDS = 20, 25


@pytest.mark.django_db(transaction=True)
def test_nearly_every_refresh_is_written_in_place(sign_in, refresh, later):
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no such thing")
    tokens = [sign_in().body["refresh_token"] for _ in range(SESSIONS)]
    before = updates()

    for _ in range(ROUNDS):
        tokens = [refresh(token).body["refresh_token"] for token in tokens]

    all_of_them, in_place = (after - earlier for after, earlier in zip(updates(), before, strict=True))
    assert all_of_them == SESSIONS * ROUNDS
    assert in_place >= 0.95 * all_of_them


def updates():
    """How many rows of the table were updated so far, and how many of them in place."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute("SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'oauth_session'")
        return cursor.fetchone()
