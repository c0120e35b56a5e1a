"""Run the suite on PostgreSQL, and beside it the pages in a browser, then the suite on SQLite. Arguments go to pytest."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
BROWSER = "tests/browser"
# What asks no database of its own for an answer, or asks it what the ORM asks alike of both, is run once: here or there, so that
# both take as long.
ON_SQLITE_ALONE = (
    "tests/accounts/test_admin.py",
    "tests/accounts/test_addresses.py",
    "tests/accounts/test_even_time_of_hashes.py",
    "tests/accounts/test_hashers.py",
    "tests/accounts/test_identifiers.py",
    "tests/accounts/test_imported_hashes.py",
    "tests/accounts/test_libargon2_hashes.py",
    "tests/accounts/test_next_page.py",
    "tests/e2e/test_api_docs.py",
    "tests/e2e/test_banner.py",
    "tests/e2e/test_dart_client.py",
    "tests/e2e/test_dart_source.py",
    "tests/e2e/test_docs_examples.py",
    "tests/e2e/test_example_suites.py",
    "tests/e2e/test_incidents.py",
    "tests/e2e/test_integration_guide.py",
    "tests/e2e/test_integration_guide_messages.py",
    "tests/e2e/test_libargon2.py",
    "tests/e2e/test_mail.py",
    "tests/e2e/test_mcp.py",
    "tests/e2e/test_proxy.py",
    "tests/e2e/test_traces.py",
    "tests/hostile/test_schema.py",
    "tests/hostile/test_verifiers.py",
    "tests/oauth/test_doctor_outside.py",
    "tests/oauth/test_admin_api.py",
    "tests/oauth/test_key_schedule.py",
    "tests/oauth/test_scopes.py",
    "tests/project/test_admin_hosts.py",
    "tests/project/test_admin_permissions.py",
    "tests/project/test_admin_secrecy.py",
    "tests/project/test_alerts.py",
    "tests/project/test_architecture.py",
    "tests/project/test_bench.py",
    "tests/project/test_build_argon2.py",
    "tests/project/test_capacity.py",
    "tests/project/test_checklist.py",
    "tests/project/test_conformance.py",
    "tests/project/test_container.py",
    "tests/project/test_crowding.py",
    "tests/project/test_docs.py",
    "tests/project/test_doors.py",
    "tests/project/test_env.py",
    "tests/project/test_explain.py",
    "tests/project/test_faults.py",
    "tests/project/test_find.py",
    "tests/project/test_gate.py",
    "tests/project/test_kept_answers.py",
    "tests/project/test_kubernetes.py",
    "tests/project/test_lock_check.py",
    "tests/project/test_logs.py",
    "tests/project/test_make.py",
    "tests/project/test_mutations.py",
    "tests/project/test_openapi.py",
    "tests/project/test_page_middleware.py",
    "tests/project/test_pasted.py",
    "tests/project/test_patience.py",
    "tests/project/test_rsgi.py",
    "tests/project/test_static_files.py",
    "tests/project/test_supply.py",
    "tests/project/test_systemd.py",
    "tests/project/test_tracing.py",
    "tests/project/test_translations.py",
    "tests/project/test_wsgi.py",
)
ON_POSTGRESQL_ALONE = (
    "tests/accounts/test_account_pages.py",
    "tests/accounts/test_admin_audit.py",
    "tests/accounts/test_audit_list.py",
    "tests/accounts/test_bulk_users.py",
    "tests/accounts/test_lockout_admin.py",
    "tests/accounts/test_outbox.py",
    "tests/accounts/test_password_reset.py",
    "tests/accounts/test_second_factors.py",
    "tests/e2e/test_ceilings.py",
    "tests/e2e/test_device.py",
    "tests/e2e/test_doctor.py",
    "tests/e2e/test_examples.py",
    "tests/e2e/test_gateway.py",
    "tests/e2e/test_gateway_configuration.py",
    "tests/e2e/test_gateway_paths.py",
    "tests/e2e/test_granian.py",
    "tests/e2e/test_guide.py",
    "tests/e2e/test_housekeeping.py",
    "tests/e2e/test_http.py",
    "tests/e2e/test_lockout.py",
    "tests/e2e/test_log_secrecy.py",
    "tests/e2e/test_metrics.py",
    "tests/e2e/test_move_database.py",
    "tests/e2e/test_moving_in.py",
    "tests/e2e/test_python_client.py",
    "tests/e2e/test_recovery.py",
    "tests/e2e/test_resource_servers.py",
    "tests/e2e/test_services.py",
    "tests/e2e/test_signing_keys.py",
    "tests/e2e/test_standard_clients.py",
    "tests/e2e/test_unreadable.py",
    "tests/faults/test_database_away.py",
    "tests/faults/test_disk_full.py",
    "tests/faults/test_failover.py",
    "tests/faults/test_herds.py",
    "tests/faults/test_key_rotation.py",
    "tests/faults/test_pgbouncer.py",
    "tests/faults/test_redis_down.py",
    "tests/faults/test_restarts_of_postgresql.py",
    "tests/faults/test_rolling.py",
    "tests/faults/test_skewed_clock.py",
    "tests/faults/test_slow_clients.py",
    "tests/faults/test_slow_database.py",
    "tests/faults/test_soak.py",
    "tests/hostile/test_fuzz.py",
    "tests/hostile/test_stolen_copies.py",
    "tests/oauth/test_account_api.py",
    "tests/oauth/test_account_pages.py",
    "tests/oauth/test_admin.py",
    "tests/oauth/test_api.py",
    "tests/oauth/test_authorize.py",
    "tests/oauth/test_bulk_acts.py",
    "tests/oauth/test_ceilings.py",
    "tests/oauth/test_client_admin.py",
    "tests/oauth/test_cors.py",
    "tests/oauth/test_device_page.py",
    "tests/oauth/test_device_races.py",
    "tests/oauth/test_in_place.py",
    "tests/oauth/test_key_admin.py",
    "tests/oauth/test_move_database.py",
    "tests/oauth/test_older_service.py",
    "tests/oauth/test_partitioned_sessions.py",
    "tests/oauth/test_session_pages.py",
    "tests/oauth/test_user_pages.py",
    "tests/oauth/test_vacuum.py",
    "tests/oauth/test_verify.py",
    "tests/project/test_bench_instances.py",
    "tests/project/test_metrics.py",
    "tests/project/test_migrations.py",
    "tests/project/test_postgresql.py",
)
sys.path.insert(0, str(ROOT))

from tests.postgres import find_binaries, postgres  # noqa: E402 - after the path it is found on


def run(label: str, *arguments: str, **environment: str) -> int:
    print(f"\n=== {label} ===", flush=True)
    return start(*arguments, **environment).wait()


def start(*arguments: str, stdout: IO[str] | None = None, **environment: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pytest", *arguments]
    # Each process would compile all tests for itself where the environment forbids to keep what was compiled.
    kept = os.environ | {"PYTHONDONTWRITEBYTECODE": ""} | environment
    return subprocess.Popen(command, cwd=ROOT, env=kept, stdout=stdout, stderr=stdout and subprocess.STDOUT)


def main() -> int:
    arguments = sys.argv[1:]
    asked_for = [argument for argument in arguments if (ROOT / argument.partition("::")[0]).exists()]
    wants_pages = not asked_for or any(BROWSER in argument for argument in asked_for)
    if asked_for and all(BROWSER in argument for argument in asked_for):
        return run_in_browser(arguments)
    first = (lambda: run_in_browser(arguments)) if wants_pages else (lambda: 0)
    return run_on_databases([*arguments, f"--ignore={BROWSER}"], first=first, is_whole=not asked_for)


def run_on_databases(arguments: list[str], *, first: Callable[[], int], is_whole: bool) -> int:
    if find_binaries() is None:
        failed = first() or run("SQLite", *arguments, TEST_DB_URL="")
        print("\nPostgreSQL is not installed, so half of the suite did not run: apt-get install postgresql", file=sys.stderr)
        return 3 if os.environ.get("CI") == "true" else failed
    # At the same time: each is one process for the most part. What the second prints is shown when the first has ended.
    with postgres() as url, tempfile.TemporaryFile("w+") as printed:
        on_sqlite, on_postgresql = (_without(paths) if is_whole else [] for paths in (ON_POSTGRESQL_ALONE, ON_SQLITE_ALONE))
        second = start(*arguments, *on_postgresql, TEST_DB_URL=url, stdout=printed)
        try:
            failed = first()
            failed = run("SQLite", *arguments, *on_sqlite, TEST_DB_URL="") or failed
            failed = second.wait() or failed
        finally:
            second.terminate()
            second.wait()
        print("\n=== PostgreSQL ===", flush=True)
        printed.seek(0)
        shutil.copyfileobj(printed, sys.stdout)
        return failed


def _without(paths: Sequence[str]) -> list[str]:
    return [f"--ignore={path}" for path in paths]


def run_in_browser(arguments: list[str]) -> int:
    """Once: what a page looks like does not depend on the database."""
    if shutil.which("chromium") is None and shutil.which("chromium-browser") is None:
        print("\nChromium is not installed, so no page was looked at: apt-get install chromium", file=sys.stderr)
        return 3 if os.environ.get("CI") == "true" else 0
    own = [argument for argument in arguments if BROWSER in argument]
    options = [argument for argument in arguments if not (ROOT / argument.partition("::")[0]).exists()]
    return run("Browser", *options, *(own or [BROWSER]), TEST_DB_URL="")


if __name__ == "__main__":
    sys.exit(main())
