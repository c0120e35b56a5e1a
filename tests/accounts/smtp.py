"""A mail server as small as can be: it speaks enough SMTP to be given a mail, and keeps it."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any


class _Handler(socketserver.StreamRequestHandler):
    server: "MailServer"

    def handle(self) -> None:
        self._say(220)
        for line in self.rfile:
            self.server.seen.append(line)
            match line.split()[0].upper():
                case b"DATA":
                    self._say(354)
                    self._take_mail()
                case b"RCPT" if self.server.refuses:
                    self._say(550)
                case b"QUIT":
                    self._say(221)
                    return
                case _:
                    self._say(250)

    def _take_mail(self) -> None:
        lines: list[bytes] = []
        while (line := self.rfile.readline()) not in {b".\r\n", b""}:
            lines.append(line[1:] if line.startswith(b".") else line)
        self.server.mails.append(message_from_bytes(b"".join(lines), policy=policy.default))
        self._say(250)

    def _say(self, code: int) -> None:
        self.wfile.write(b"%d mail.test\r\n" % code)


class MailServer(socketserver.ThreadingTCPServer):
    """What it was given stands in `mails`, what it was told in `seen`."""

    allow_reuse_address = daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.mails: list[EmailMessage] = []
        self.seen: list[bytes] = []
        self.refuses = False

    @property
    def port(self) -> int:
        return int(self.server_address[1])


@contextmanager
def mail_server() -> Iterator[MailServer]:
    with MailServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def text_of(mail: Any) -> str:
    return mail.get_body(("plain",)).get_content()


def code_of(mail: Any) -> str:
    """The code of the mail: what stands behind the # of its link."""
    [link] = [line for line in text_of(mail).splitlines() if "#" in line]
    return link.partition("#")[2]
