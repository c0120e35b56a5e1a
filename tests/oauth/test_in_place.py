"""PostgreSQL writes what each request changes beside the row that it replaces (HOT): no index is touched, and no table grows with it."""

import pytest
from django.db import connection

SESSIONS, ROUNDS = 20, 25
SIGN_INS = 30


pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _on_postgresql(db):
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no such thing")


def test_nearly_every_refresh_is_written_in_place(sign_in, refresh, later):
    tokens = [sign_in().body["refresh_token"] for _ in range(SESSIONS)]
    before = updates("oauth_session")

    for _ in range(ROUNDS):
        tokens = [refresh(token).body["refresh_token"] for token in tokens]

    all_of_them, in_place = (after - earlier for after, earlier in zip(updates("oauth_session"), before, strict=True))
    assert all_of_them == SESSIONS * ROUNDS
    assert in_place >= 0.95 * all_of_them


def test_the_lane_of_a_sign_in_is_written_in_place(sign_in):
    sign_in()
    before = updates("accounts_logincounter")

    for _ in range(SIGN_INS):
        assert sign_in().status == 200

    all_of_them, in_place = (after - earlier for after, earlier in zip(updates("accounts_logincounter"), before, strict=True))
    assert all_of_them == 2 * SIGN_INS
    assert in_place >= 0.95 * all_of_them


def updates(table):
    """How many rows of the table were updated so far, and how many of them in place."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute("SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = %s", [table])
        return cursor.fetchone()
