"""The admin before 100,000 users and 5 million audit events, on a PostgreSQL of its own: server time and statements of its pages."""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from tests.postgres import postgres

ROOT = Path(__file__).resolve().parent.parent.parent
USERS = int(os.environ.get("BENCH_USERS", "100000"))
EVENTS = int(os.environ.get("BENCH_EVENTS", "5000000"))
ROUNDS = 21
DAYS = 90
TARGET_MS = 100  # of the overview
PATHS = (
    "/admin/",
    "/admin/accounts/auditevent/",
    "/admin/accounts/auditevent/?event=user:sign_in:failed",
    "/admin/accounts/auditevent/?event=session:&when=year",
    "/admin/accounts/auditevent/?address=198.51.100.7",
    "/admin/accounts/auditevent/?q=user-77",
    "/admin/accounts/user/",
    "/admin/accounts/user/?q=user-77777",
    "/admin/find/?q=user-77777@example.com",
    "/admin/accounts/logincounter/",
    "/admin/oauth/session/",
    "/admin/oauth/client/",
)
# As rows come in: ids, users and time grow together; one sign-in of fifty fails, one event of a hundred thousand is a token's reuse.
FILL_USERS = """
INSERT INTO accounts_user (id, password, is_superuser, username, username_canonical, email, email_canonical, name, is_active,
    awaits_confirmation, is_staff, session_epoch, last_totp_step, created_at)
SELECT md5(n::text)::uuid, '!', false, 'user-' || n, 'user-' || n, 'user-' || n || '@example.com', 'user-' || n || '@example.com', '', true,
    false, false, 1, 0, now() FROM generate_series(1, %s) n
"""
FILL_EVENTS = """
INSERT INTO accounts_auditevent (at, event, actor_id, target, client_id, address, user_agent, error_id, detail)
SELECT now() - (%(days)s * (1 - n / %(events)s::float8)) * interval '1 day',
    CASE WHEN n %% 100000 = 0 THEN 'session:refresh_token:reused'
        WHEN n %% 50 = 0 THEN 'user:sign_in:failed' ELSE 'user:sign_in:succeeded' END,
    CASE WHEN n %% 50 = 0 THEN NULL ELSE md5((n %% %(users)s + 1)::text)::uuid END, md5((n %% %(users)s + 1)::text)::uuid::text, 'editor',
    ('198.51.' || (n %% 100) || '.' || (n %% 250))::inet, 'Bench/1', CASE WHEN n %% 50 = 0 THEN left(md5(n::text), 16) ELSE '' END, '{}'
FROM generate_series(1, %(events)s) n
"""
FILL_SESSIONS = """
INSERT INTO oauth_session (id, user_id, user_epoch, client_id, scope, generation, created_at, refreshed_at, expires_at, revoked_reason,
    audience, auth_time, amr, user_agent)
SELECT md5('s' || n)::uuid, md5((n %% %(users)s + 1)::text)::uuid, 1, (SELECT id FROM oauth_client LIMIT 1), 'api:read', 3,
    now() - n * interval '20 seconds', now(), now() + (30 - n %% 60) * interval '1 day', '', '', now(), 'pwd', 'Bench/1'
FROM generate_series(1, %(users)s * 3) n
"""
# Those that no constraint needs: making them once after the fill takes far less than keeping them up with every row.
INDEXES = """
SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid) FROM pg_index i
WHERE i.indrelid = 'accounts_auditevent'::regclass AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid)
"""


def main() -> None:
    with postgres() as url:
        environment = os.environ | {
            "AUTH_SERVICE__DB_URL": url,
            "ENVIRONMENT": "development",
            "AUTH_SERVICE__ENV_FILE": "",
            "DJANGO_SETTINGS_MODULE": "authserver.settings",
        }
        subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], cwd=ROOT, env=environment, check=True)
        subprocess.run([sys.executable, "-m", "tests.bench.admin", "measure"], cwd=ROOT, env=environment, check=True)


def measure() -> None:
    import django

    django.setup()
    from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    from accounts import audit_tally
    from accounts.models import User
    from oauth import clients, key_rotation
    from tests.staff import let_in

    started = time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute("SET maintenance_work_mem = '1GB'")
        cursor.execute("ALTER TABLE accounts_auditevent SET UNLOGGED")
        cursor.execute(INDEXES)
        indexes = cursor.fetchall()
        for name, _ in indexes:
            cursor.execute(f"DROP INDEX {name}")
        cursor.execute(FILL_USERS, [USERS])
        cursor.execute(FILL_EVENTS, {"events": EVENTS, "users": USERS, "days": DAYS})
        clients.register(
            "editor", name="Editor", is_public=True, grant_types=["refresh_token"], allowed_scopes="api:read", default_scopes="api:read"
        )
        cursor.execute(FILL_SESSIONS, {"users": USERS})
        for _, definition in indexes:
            cursor.execute(definition)
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("SET statement_timeout = '2s'")
    print(f"{USERS} users, {USERS * 3} sessions and {EVENTS} events, made in {time.monotonic() - started:.0f} s")
    started = time.monotonic()
    hours = 0
    while counted := audit_tally.close_hours():
        hours += counted
    print(f"{hours} hours of sign-ins counted, as manage.py prune does, in {time.monotonic() - started:.1f} s\n")
    browser = Client(headers={"host": "localhost"})
    owner = User.objects.create_superuser("owner", password="of no use here")
    TOTP.activate(owner, generate_totp_secret())
    let_in(browser, owner)
    key_rotation.ensure_first()
    print(f"{'median ms':>9} {'p95':>8} {'statements':>10}  page (target of the overview: {TARGET_MS} ms)")
    for path in PATHS:
        times = []
        for _ in range(ROUNDS):
            with CaptureQueriesContext(connection) as captured:
                began = time.perf_counter()
                answer = browser.get(path)
                times.append((time.perf_counter() - began) * 1000)
            assert answer.status_code == 200, (path, answer.status_code)
        print(f"{statistics.median(times):>9.0f} {statistics.quantiles(times, n=20)[-1]:>8.0f} {len(captured):>10}  {path}")


if __name__ == "__main__":
    measure() if "measure" in sys.argv else main()
