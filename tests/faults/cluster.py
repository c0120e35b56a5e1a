"""A PostgreSQL that keeps what it commits, a replica of it, and what can happen to both."""

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from tests.postgres import find_binaries, free_port

START_SECONDS = 30
OPTIONS = (
    "listen_addresses=127.0.0.1",
    "max_connections=100",
    "timezone=UTC",
    "wal_level=replica",
    "max_wal_size=64MB",
    "min_wal_size=32MB",
)


class Node:
    """One server on a port that stays the same however often it ends and begins anew."""

    def __init__(self, folder: Path, *, port: int) -> None:
        self.folder, self.port = folder, port
        self._options: tuple[str, ...] = ()
        self._process: subprocess.Popen[bytes] | None = None

    def initialise(self) -> None:
        self.run(
            "initdb", "-D", self.folder, "-U", "authserver", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--wal-segsize=4"
        )

    def copy(self, source: "Node", *, name: str) -> None:
        """Become a replica of `source`, that calls itself `name` there."""
        shutil.rmtree(self.folder, ignore_errors=True)
        conninfo = f"host=127.0.0.1 port={source.port} user=authserver application_name={name}"
        self.run(
            "pg_basebackup", "-D", self.folder, "-d", conninfo, "--checkpoint=fast", "--no-sync", "--write-recovery-conf", "-X", "stream"
        )

    def start(self, *options: str) -> None:
        """Until it takes connections."""
        self._options = options
        command = [_binaries() / "postgres", "-D", self.folder, "-p", str(self.port), f"-cunix_socket_directories={self.folder}"]
        with Path(f"{self.folder}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *(f"-c{each}" for each in (*OPTIONS, *options))], stdout=log, stderr=log, **as_user()
            )
        deadline = time.monotonic() + START_SECONDS
        while not self.accepts():
            assert self._process.poll() is None, self.output()
            assert time.monotonic() < deadline, self.output()
            time.sleep(0.02)

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """SIGINT ends transactions and writes everything; SIGQUIT is `pg_ctl -m immediate`: nothing is finished, nothing written."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(timeout=START_SECONDS)
            self._process = None

    def restart(self, number: signal.Signals) -> None:
        self.stop(number)
        self.start(*self._options)

    def ensure_started(self) -> None:
        """As a supervisor does, when it has ended by itself; and wait until it is done with what it recovers."""
        deadline = time.monotonic() + START_SECONDS
        while not self.accepts():
            assert time.monotonic() < deadline, self.output()
            if self._process is None or self._process.poll() is not None:
                self.start(*self._options)
            time.sleep(0.02)

    def promote(self) -> None:
        self.query("SELECT pg_promote(true, 30)")

    def wait_for(self, lsn: str) -> None:
        """Until this replica has replayed the WAL up to there."""
        deadline = time.monotonic() + START_SECONDS
        while not self.query("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", lsn)[0][0]:
            assert time.monotonic() < deadline, self.output()
            time.sleep(0.02)

    def hear_no_more(self) -> None:
        """From here on nothing arrives at this replica."""
        self.configure(primary_conninfo="")
        deadline = time.monotonic() + START_SECONDS
        while self.query("SELECT pid FROM pg_stat_wal_receiver"):
            assert time.monotonic() < deadline, self.output()
            time.sleep(0.02)

    def accepts(self) -> bool:
        try:
            self.query("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def query(self, sql: Any, *parameters: Any, dbname: str = "postgres") -> list[Any]:
        with psycopg.connect(self.url(dbname), autocommit=True, connect_timeout=2) as connection:
            cursor = connection.execute(sql, parameters)
            return cursor.fetchall() if cursor.description else []

    def configure(self, **values: str) -> None:
        """From now on, without a restart; an empty value is the default again."""
        for name, value in values.items():
            self.query(f"ALTER SYSTEM SET {name} = '{value}'" if value else f"ALTER SYSTEM RESET {name}")
        self.query("SELECT pg_reload_conf()")

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It takes connections, and none of its processes does anything."""
        os.kill(self._pid, signal.SIGSTOP)  # first: it makes no others from here on, and none is forgotten while it is not awake
        processes = [*self._children(), self._pid]
        try:
            for pid in processes:
                os.kill(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in processes:
                os.kill(pid, signal.SIGCONT)

    def output(self) -> str:
        return Path(f"{self.folder}.log").read_text(encoding="utf-8", errors="replace")

    def url(self, dbname: str) -> str:
        return f"postgresql://authserver@127.0.0.1:{self.port}/{dbname}"

    def run(self, program: str, *arguments: Any) -> None:
        done = subprocess.run([_binaries() / program, *arguments], capture_output=True, text=True, check=False, **as_user())
        assert done.returncode == 0, done.stderr

    @property
    def _pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def _children(self) -> list[int]:
        return [int(pid) for pid in Path(f"/proc/{self._pid}/task/{self._pid}/children").read_text(encoding="ascii").split()]


class Cluster:
    """Two places for a server. One of them holds the primary; which one, changes with each failover."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.primary, self.other = (Node(folder / name, port=free_port()) for name in ("one", "two"))
        self._ports = sorted((self.primary.port, self.other.port))

    def url(self, dbname: str) -> str:
        """Of both places, as an operator writes it: whoever connects finds the primary."""
        one, two = self._ports
        return f"postgresql://authserver@127.0.0.1:{one},127.0.0.1:{two}/{dbname}?target_session_attrs=primary"

    @contextmanager
    def replica(self, *, synchronous: bool) -> Iterator[Node]:
        """The other place follows the primary; a synchronous one has what the primary has acknowledged. It has ended when this ends."""
        self.other.copy(self.primary, name="replica")
        self.other.start()
        try:
            if synchronous:
                self.primary.configure(synchronous_standby_names="replica")
            self._wait_for_replica("sync" if synchronous else "async")
            yield self.other
        finally:
            self.primary.configure(synchronous_standby_names="")
            self.other.stop()

    def fail_over(self) -> None:
        """The primary is gone without a word, and the other one takes its place."""
        self.primary.stop(signal.SIGQUIT)
        self.other.promote()
        self.primary, self.other = self.other, self.primary

    def _wait_for_replica(self, state: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while self.primary.query("SELECT sync_state FROM pg_stat_replication WHERE state = 'streaming'") != [(state,)]:
            assert time.monotonic() < deadline, self.other.output()
            time.sleep(0.02)


@contextmanager
def cluster_in(folder: Path) -> Iterator[Cluster]:
    """A primary in `folder`, with an empty database `authserver`."""
    cluster = Cluster(folder)
    cluster.primary.initialise()
    cluster.primary.start()
    try:
        cluster.primary.query("CREATE DATABASE authserver")
        yield cluster
    finally:
        for node in (cluster.primary, cluster.other):
            node.stop(signal.SIGQUIT)


def _binaries() -> Path:
    binaries = find_binaries()
    if binaries is None:
        raise FileNotFoundError("PostgreSQL is not installed: apt-get install postgresql")
    return binaries


def as_user() -> dict[str, Any]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {"cwd": "/"}
    account = pwd.getpwnam("postgres")
    return {"cwd": "/", "user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
