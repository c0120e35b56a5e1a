"""Sign-ins: how many, what each costs beside the bare hash, what the time tells, and what a flood leaves for refreshes.

Everything is measured side by side in one run, on a PostgreSQL and a server that this run starts.
"""

import json
import os
import statistics
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from nacl import pwhash

from tests.bench.load import Client, Load, cpu_of, in_a_process_of_its_own, run_threads, together
from tests.e2e.servers import Server, authserver
from tests.faults.processes import Gunicorn
from tests.postgres import postgres

SECONDS = 6.0
ROUNDS = 5
GUESSERS, GUESSES_PER_SECOND = 32, 100
CLIENT_ID = "codelab-flutter-app"
USER = {"grant_type": "password", "client_id": CLIENT_ID, "username": "user@example.com", "password": "password123"}
WRONG, UNKNOWN, DISABLED = (
    USER | {"password": "not this one"},
    USER | {"username": "nobody@example.com"},
    USER | {"username": "test@example.com", "password": "test123"},
)
# Guesses are what is measured here: nothing is to stop them but the slots.
WITHOUT_LIMITS = {
    "AUTH_SERVICE__ENABLE_RATE_LIMITING": "false",
    "AUTH_SERVICE__BRUTE_FORCE_THRESHOLD": "1000",
    "AUTH_SERVICE__RATE_LIMIT_PER_USERNAME": "100000000/d",
    "AUTH_SERVICE__BRUTE_FORCE_LOCKOUT_DURATION": "1",
    "AUTH_SERVICE__TRUSTED_PROXIES": "127.0.0.1/32",
    "AUTH_SERVICE__LOG_LEVEL": "WARNING",
}


def main() -> None:
    with ExitStack() as stack:
        url = stack.enter_context(postgres(durable=True))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(authserver(folder, postgres_url=url, WEB_CONCURRENCY=str(os.cpu_count() or 1), **WITHOUT_LIMITS))
        gunicorn, database = Gunicorn.serving(server.port).pid, _postgres_pid(url)
        print(f"{os.cpu_count()} cores, {len(Gunicorn(gunicorn).workers())} processes of 4 threads, PostgreSQL with fsync\n")
        _sign_ins(server, gunicorn, database)
        _timing(server)
        _flood(server)


def _sign_ins(server: Server, gunicorn: int, database: int) -> None:
    cores = os.cpu_count() or 1
    hashes = [in_a_process_of_its_own(_verify, SECONDS) for _ in range(cores)]
    raw = sum(wait().rate() for wait in hashes)
    with cpu_of(gunicorn) as server_cpu, cpu_of(database) as database_cpu:
        load = in_a_process_of_its_own(_sign_in, server.port, 2 * cores, SECONDS)()
        count = load.statuses[200]
        spent = 1000 * server_cpu() / count, 1000 * database_cpu() / count
    print("| sign-ins | |\n|---|---|")
    print(f"| bare Argon2id verifications | {raw:.0f} a second, {1000 * cores / raw:.1f} CPU-ms each |")
    print(f"| sign-ins | {load.rate():.0f} a second, {spent[0]:.1f} CPU-ms each in the server and {spent[1]:.1f} in PostgreSQL |")
    print(f"| sign-ins beside bare verifications | {100 * load.rate() / raw:.0f} % |")
    print(f"| other answers | {dict(load.statuses - _only(load, 200))} |\n")


def _timing(server: Server, tries: int = 200) -> None:
    _disable_the_second_user(server)
    client = Client(server.port, address="198.51.100.1")
    kinds = {"wrong": WRONG, "unknown": UNKNOWN, "disabled": DISABLED}
    taken: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(tries):
        for name, form in kinds.items():
            started = time.perf_counter()
            status, body = client.post(form)
            taken[name].append(1000 * (time.perf_counter() - started))
            assert (status, json.loads(body)["error"]) == (400, "invalid_grant"), body
    medians = {name: statistics.median(values) for name, values in taken.items()}
    print(f"| refused, {tries} interleaved tries each | median | 10th percentile |\n|---|---|---|")
    for name, values in taken.items():
        print(f"| {name} | {medians[name]:.2f} ms | {statistics.quantiles(values, n=10)[0]:.2f} ms |")
    print(f"| widest difference of medians | {100 * (max(medians.values()) / min(medians.values()) - 1):.1f} % | |\n")


def _flood(server: Server) -> None:
    """In turns, so that whatever else the machine does falls on all alike."""
    idle: list[Load] = []
    floods: dict[str, tuple[float, list[Load], list[Load]]] = {
        f"a flood of {GUESSES_PER_SECOND} wrong passwords a second": (GUESSES_PER_SECOND, [], []),
        f"as many as {GUESSERS} connections can send": (0.0, [], []),
    }
    for _ in range(ROUNDS):
        idle.append(in_a_process_of_its_own(_refresh, server.port, SECONDS)())
        for rate, refreshes, guesses in floods.values():
            flood = in_a_process_of_its_own(_guess, server.port, GUESSERS, rate, SECONDS + 1)
            time.sleep(0.5)
            refreshes.append(in_a_process_of_its_own(_refresh, server.port, SECONDS)())
            guesses.append(flood())
    calm = together(idle)
    print("| 20 refreshes a second | p50 | p99 | beside idle | answered | guesses |\n|---|---|---|---|---|---|")
    print(f"| idle | {calm.percentile(50):.1f} ms | {calm.percentile(99):.1f} ms | | {dict(calm.statuses)} | |")
    for name, (_, refreshes, guesses) in floods.items():
        load, sent = together(refreshes), together(guesses)
        ratio = load.percentile(99) / calm.percentile(99)
        guessed = f"{sum(sent.statuses.values()) / sent.duration:.0f} a second: {dict(sent.statuses)}"
        figures = f"{load.percentile(50):.1f} ms | {load.percentile(99):.1f} ms | {ratio:.1f} times"
        print(f"| {name} | {figures} | {dict(load.statuses)} | {guessed} |")


def _verify(seconds: float) -> Load:
    encoded = pwhash.argon2id.str(b"password123", opslimit=2, memlimit=19456 * 1024)
    return run_threads(1, seconds=seconds, step=lambda _: lambda: 200 if pwhash.verify(encoded, b"password123") else 0)


def _sign_in(port: int, connections: int, seconds: float) -> Load:
    # A source of its own for each connection: five sign-ins of one source at once are the most that may run.
    clients = [Client(port, address=f"198.51.100.{index + 10}") for index in range(connections)]
    for client in clients:
        client.post(USER)

    def post(client: Client) -> int:
        status, _ = client.post(USER)
        if status == 503:
            time.sleep(0.02)  # or those that are told to come back would be most of what is measured
        return status

    return run_threads(connections, seconds=seconds, step=lambda index: lambda: post(clients[index]))


def _guess(port: int, connections: int, rate: float, seconds: float) -> Load:
    """`rate` a second over all connections; 0: as fast as answers come."""

    def step(index: int) -> object:
        client = Client(port, address=f"203.0.113.{index}")
        due_at = time.perf_counter() + (index / rate if rate else 0.0)

        def guess() -> int:
            nonlocal due_at
            if rate:
                time.sleep(max(0.0, due_at - time.perf_counter()))
                due_at += connections / rate
            return client.post(WRONG | {"username": f"user{index}@example.com"})[0]

        return guess

    return run_threads(connections, seconds=seconds, step=step)


def _refresh(port: int, seconds: float) -> Load:
    """Two sessions, each refreshed ten times a second at most; the pause is not part of what is measured."""
    taken: list[float] = []
    loads: list[Load] = []

    def chain(index: int) -> None:
        client = Client(port, address=f"192.0.2.{index + 1}")
        while True:  # the first sign-in may meet the flood
            status, body = client.post(USER)
            if status == 200:
                break
            time.sleep(0.2)
        token = json.loads(body)["refresh_token"]
        statuses = Load([])
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            started = time.perf_counter()
            status, body = client.post({"grant_type": "refresh_token", "client_id": CLIENT_ID, "refresh_token": token})
            taken.append(time.perf_counter() - started)
            statuses.statuses[status] += 1
            if status == 200:
                token = json.loads(body)["refresh_token"]
            time.sleep(max(0.0, started + 0.1 - time.perf_counter()))
        loads.append(statuses)

    threads = [threading.Thread(target=chain, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Load(taken, together(loads).statuses, seconds)


def _only(load: Load, status: int) -> dict[int, int]:
    return type(load.statuses)({status: load.statuses[status]})


def _disable_the_second_user(server: Server) -> None:
    import psycopg

    with psycopg.connect(Gunicorn.serving(server.port).variable("AUTH_SERVICE__DB_URL"), autocommit=True) as connection:
        connection.execute("UPDATE accounts_user SET is_active = false WHERE username_canonical = 'test'")


def _postgres_pid(url: str) -> int:
    """The postmaster: the parent of the backend that we are given."""
    import psycopg

    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT pg_backend_pid()").fetchone()
        assert row is not None
        status = Path(f"/proc/{row[0]}/status").read_text(encoding="utf-8")
    return int(status.partition("PPid:\t")[2].partition("\n")[0])


if __name__ == "__main__":
    main()
