"""Refresh the rows of sessions by the server's own statement, without HTTP and signatures, and print as JSON what became of the table.

Run beside the code: `python -P refresh_rows.py REFRESHES SESSIONS`, in a site's environment.
"""

import json
import os
import sys

AT_ONCE = 50  # statements of one trip to the database and one commit


def main(refreshes: int, number: int) -> None:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "authserver.settings")
    django.setup()
    from django.db import connection, transaction

    from accounts import clock
    from oauth import session_rows
    from oauth.models import Session

    rows = [*Session.objects.order_by("pk").values_list("pk", "generation", "client_id")[:number]]
    sql = session_rows._advance_sql(connection.vendor)
    fixed = {
        "now": clock.instant_parameter(),
        "expiry": clock.instant_parameter(plus=django.utils.timezone.timedelta(days=30)),
        "address": "198.51.100.7",
        "user_agent": "Mozilla/5.0 (X11; Linux x86_64) Bench/1",
    }
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = off")
        before = _look(cursor)
        for turn in range(refreshes // len(rows)):
            for first in range(0, len(rows), AT_ONCE):
                batch = [
                    fixed | {"id": pk, "client": client, "expected": at + turn, "next": at + turn + 1, "retry_digest": os.urandom(32)}
                    for pk, at, client in rows[first : first + AT_ONCE]
                ]
                with transaction.atomic():
                    cursor.executemany(sql, batch)
        cursor.execute("VACUUM oauth_session")
        after = _look(cursor)
    json.dump({"before": before, "after": after, "refreshes": refreshes // len(rows) * len(rows)}, sys.stdout)


def _look(cursor: object) -> dict[str, int]:
    cursor.execute("SELECT pg_stat_force_next_flush(), pg_stat_clear_snapshot()")
    cursor.execute(
        "SELECT pg_total_relation_size('oauth_session'), pg_relation_size('oauth_session'), n_tup_upd, n_tup_hot_upd"
        " FROM pg_stat_user_tables WHERE relname = 'oauth_session'"
    )
    return dict(zip(("bytes", "table_bytes", "updates", "hot_updates"), cursor.fetchone(), strict=True))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
