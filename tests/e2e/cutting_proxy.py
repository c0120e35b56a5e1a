"""A TCP proxy in front of a server, that cuts connections when the server has answered."""

import select
import socket
import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close at once, and let the other side know by a RST


class CuttingProxy(socketserver.ThreadingTCPServer):
    """`cuts` answers to come are lost on their way; `lost` are the beginnings of those that were."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.upstream_port = port
        self.cuts = 0
        self.lost: list[bytes] = []

    @property
    def base_url(self) -> str:
        return f"http://localhost:{self.server_address[1]}"


class _Connection(socketserver.BaseRequestHandler):
    server: CuttingProxy

    def handle(self) -> None:
        with socket.create_connection(("127.0.0.1", self.server.upstream_port)) as upstream:
            other = {self.request: upstream, upstream: self.request}
            while True:
                for ready in select.select([*other], [], [])[0]:
                    data = ready.recv(65536)
                    if not data:
                        return
                    if ready is upstream and self.server.cuts:
                        self._cut(data)
                        return
                    other[ready].sendall(data)

    def _cut(self, data: bytes) -> None:
        self.server.cuts -= 1
        self.server.lost.append(data)
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.request.close()


@contextmanager
def cutting_proxy(port: int) -> Iterator[CuttingProxy]:
    with CuttingProxy(port) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()
