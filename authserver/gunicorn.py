"""gunicorn's configuration: `gunicorn -c authserver/gunicorn.py authserver.wsgi`.

WEB_CONCURRENCY is the number of processes; SQLite serves one.
"""

import atexit
import gc
import os
import resource
import shutil
import socket
import struct
import tempfile
from pathlib import Path
from typing import Any

SHARED_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - what lies there waits for no disk
METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"


def _ensure_metrics_folder() -> None:
    """The processes count in files, in a private folder of this server's (authserver/metrics_page.py). A reload keeps the folder."""
    mine = f"authserver-metrics-{os.getpid()}-"
    if Path(os.environ.get(METRICS_FOLDER, "")).name.startswith(mine):
        return
    os.environ[METRICS_FOLDER] = tempfile.mkdtemp(prefix=mine, dir=SHARED_MEMORY)
    atexit.register(_remove_metrics_folder, os.environ[METRICS_FOLDER], pid=os.getpid())


def _remove_metrics_folder(folder: str, *, pid: int) -> None:
    if os.getpid() == pid:  # the workers are forks, and come by here too when they end
        shutil.rmtree(folder, ignore_errors=True)


os.environ.setdefault("DJANGO_SETTINGS_MODULE", "authserver.settings")
os.environ.setdefault("SERVER_SOFTWARE", "gunicorn")  # before the settings are read: they set a server's limits
_ensure_metrics_folder()  # before prometheus_client is imported: it looks then
gc.disable()  # until all is loaded (pre_fork): next to nothing of that is garbage, and looking for it was a seventh of the start's CPU

from authserver import settings  # noqa: E402 - after the environment that they read

READ_TIMEOUT_SECONDS = 10
MOST_CONNECTIONS = 1000  # of a process
OTHER_FILES = 100  # beside them: some thirty, and what is opened for a moment


def _connections_of_a_process() -> int:
    """As many as it may have files open, which is raised as far as it has to be: one too many ends the process, and what it has in hand."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + OTHER_FILES
    if resource.RLIM_INFINITY != soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else max(1, min(MOST_CONNECTIONS, soft - OTHER_FILES))


wsgi_app = "authserver.wsgi"
bind = f"127.0.0.1:{settings.PORT}" if settings.DEVELOPMENT else f"0.0.0.0:{settings.PORT}"
worker_class = "authserver.worker.Worker"
logger_class = "authserver.worker.Logger"
threads = settings.THREADS
workers = settings.PROCESSES
worker_connections = _connections_of_a_process()
backlog = 4096  # as many as Linux lets in: who finds no room knocks again a second later
worker_tmp_dir = SHARED_MEMORY
preload_app = True
limit_request_line = 8190  # an authorization request stands in the address of the sign-in that it waits for
keepalive = 75
graceful_timeout = 25
timeout = 30
max_requests = 0 if settings.DEVELOPMENT else 200_000
max_requests_jitter = 20_000
forwarded_allow_ips = ""  # authserver.middleware.Gate reads the proxy's headers, from trusted proxies alone
control_socket_disable = True
# gunicorn's own lines in the form of ours.
logconfig_dict = settings.LOGGING | {
    "loggers": settings.LOGGING["loggers"] | {"gunicorn.error": {"level": "WARNING" if settings.DEVELOPMENT else "INFO", "propagate": True}}
}


def on_starting(server: Any) -> None:
    """What would only come out with the first request is told now: a key that does not open, a PEM that is none."""
    from django.db import DatabaseError, connections

    from accounts import encryption
    from authserver.env import ConfigurationError
    from oauth import housekeeping, instances, key_pairs, key_rotation  # noqa: F401 - the instance gets its id before the processes part

    try:
        key_rotation.prepare()
    except encryption.Undecryptable as error:
        raise ConfigurationError(str(error)) from None
    except key_pairs.NotUsable as error:
        raise ConfigurationError(f"AUTH_SERVICE__PRIVATE_KEY_PATH names {settings.PRIVATE_KEY_PATH}, but {error}.") from None
    except DatabaseError as error:
        # It may be back before the first request is; the processes look for it from then on.
        why = "the database has no tables of this server; manage.py migrate makes them" if _is_empty() else type(error).__name__
        server.log.warning("The signing keys could not be looked at: %s", why)
    finally:
        connections.close_all()


def _is_empty() -> bool:
    """Whether the database answers, and nobody has migrated it."""
    from django.db import DatabaseError, connection

    from oauth.models import SigningKey

    try:
        return SigningKey._meta.db_table not in connection.introspection.table_names()
    except DatabaseError:
        return False


def when_ready(server: Any) -> None:
    # A client that stops in the middle of its request gives its thread back; accepted sockets inherit it.
    for listener in server.LISTENERS:
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", READ_TIMEOUT_SECONDS, 0))
    for note in settings.CONFIGURATION_NOTES:
        server.log.warning(note)
    if settings.DEVELOPMENT:
        from authserver.banner import banner

        print(banner(), flush=True)  # noqa: T201 - for the person who typed make run


def pre_fork(server: Any, worker: Any) -> None:
    """After a start and after a reload, which reads this file anew."""
    if not gc.isenabled():
        gc.freeze()  # what is loaded stays: to look through it would also write to each page that the processes share
        gc.enable()


def post_fork(server: Any, worker: Any) -> None:
    from django.db import connections

    connections.close_all()


def post_worker_init(worker: Any) -> None:
    from accounts import even_time, outbox, shared_store
    from authserver.patience import patience
    from oauth import client_labels, housekeeping, instances, keys

    keys.ring.poll(reading=patience.probing)
    client_labels.labels.poll()
    outbox.poll()
    even_time.pace.poll(reading=lambda: patience.reading_for(even_time.READ_SECONDS))
    shared_store.shared.watch()
    housekeeping.poll()
    instances.neighbours.poll()
    if settings.TRACING:
        from authserver import tracing

        tracing.start()


def worker_exit(server: Any, worker: Any) -> None:
    from django.db import DatabaseError

    from oauth import key_set_use

    try:
        key_set_use.tally.flush()
    except DatabaseError as error:
        server.log.warning("The last answers of the key set were not written down: %s", type(error).__name__)
    if settings.TRACING:
        from authserver import tracing

        tracing.stop()


def child_exit(server: Any, worker: Any) -> None:
    from authserver import metrics_page

    try:
        metrics_page.fold(Path(os.environ[METRICS_FOLDER]), alive={os.getpid(), *server.WORKERS})
    except Exception:
        # Whatever it was, the server goes on: what could not be added up is counted where it lies.
        server.log.exception("the metrics of an ended process were not added up")


def on_exit(server: Any) -> None:
    from django.db import DatabaseError, connections

    from oauth import instances

    try:
        instances.leave()
    except DatabaseError as error:
        server.log.warning("This instance is not signed off, and passes for alive for a minute: %s", type(error).__name__)
    finally:
        connections.close_all()
