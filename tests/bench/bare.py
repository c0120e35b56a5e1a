"""gunicorn's configuration for a Django view of nothing: what is left of the server when the application is taken away."""

import os

from authserver import gunicorn as server

wsgi_app = "tests.bench.bare_view"
bind = f"127.0.0.1:{os.environ['AUTH_SERVICE__PORT']}"
workers = int(os.environ["BENCH_PROCESSES"])
worker_class = "gthread"  # what the server's own worker does beyond it is a part of the server
threads = server.threads
worker_tmp_dir = server.worker_tmp_dir
preload_app = server.preload_app
pre_fork = server.pre_fork  # where garbage is collected again
keepalive = server.keepalive
timeout = server.timeout
limit_request_line = server.limit_request_line
forwarded_allow_ips = server.forwarded_allow_ips
control_socket_disable = server.control_socket_disable
