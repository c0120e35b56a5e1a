"""gunicorn's configuration: `gunicorn -c authserver/gunicorn.py authserver.wsgi`.

WEB_CONCURRENCY is the number of processes; SQLite serves one.
"""

import os
import socket
import struct
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "authserver.settings")
os.environ.setdefault("SERVER_SOFTWARE", "gunicorn")  # before the settings are read: they set a server's limits

from authserver import settings

READ_TIMEOUT_SECONDS = 10

wsgi_app = "authserver.wsgi"
bind = f"127.0.0.1:{settings.PORT}" if settings.DEVELOPMENT else f"0.0.0.0:{settings.PORT}"
worker_class = "authserver.worker.Worker"
threads = 4
_is_sqlite = settings.DATABASES["default"]["ENGINE"].endswith("sqlite3")
workers = 1 if _is_sqlite else settings.WEB_CONCURRENCY
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108 - a heartbeat file must not wait for a disk
preload_app = True
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


def when_ready(server: Any) -> None:
    # A client that stops in the middle of its request gives its thread back; accepted sockets inherit it.
    for listener in server.LISTENERS:
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", READ_TIMEOUT_SECONDS, 0))
    for note in settings.CONFIGURATION_NOTES:
        server.log.warning(note)
    if settings.DEVELOPMENT:
        from authserver.banner import banner

        print(banner(), flush=True)  # noqa: T201 - for the person who typed make run


def post_fork(server: Any, worker: Any) -> None:
    from django.db import connections

    connections.close_all()


def post_worker_init(worker: Any) -> None:
    from oauth import keys

    keys.ring.poll()
