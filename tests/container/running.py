"""Starts programs in an image as compose and the engine would: its user, variables, secrets and folders, and no capability."""

import ctypes
import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.container.build import Image
from tests.container.compose import Service, secret_files

HEALTHY_WITHIN_SECONDS = 30
_CLONE_NEWNET = 0x40000000
_SET_FLAGS, _SET_ADDRESS, _UP = 0x8914, 0x8916, 0x1


class Container:
    """`operator` is the folder with `secrets/` and `.env`."""

    def __init__(self, image: Image, service: Service, *, operator: Path) -> None:
        self.image, self.service, self.operator = image, service, operator
        self.log = operator / f"{service.name}.log"
        self._environment = {"HOME": "/nonexistent", "HOSTNAME": service.name} | image.config.environment | service.environment

    def prepare(self, *, database_port: int | None) -> None:
        """Names, secrets and memory folders; the rest becomes read-only, as the service asks for. The port stands in for 5432 of `db`."""
        tree, values = self.image.tree, self.service.values
        assert values["read_only"] is True
        tree.add_layer()
        tree.path("/etc/hosts").write_text("127.0.0.1 localhost db redis\n", encoding="utf-8")
        memory = [each.partition(":")[0] for each in values["tmpfs"]]
        tree.seal(writable=[*memory, "/dev/shm", "/run/secrets"])  # noqa: S108 - an engine always gives it
        for name in values["secrets"]:
            shutil.copy(self.operator / secret_files()[name], tree.path(f"/run/secrets/{name}"))
        url = tree.path("/run/secrets/db-url")
        url.write_text(url.read_text(encoding="utf-8").replace("@db:5432/", f"@db:{database_port}/"), encoding="utf-8")

    def run(self, *words: str) -> str:
        done = self._done(*words)
        assert done.returncode == 0, f"{words} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def fail(self, *words: str) -> str:
        done = self._done(*words)
        assert done.returncode != 0, f"{words} should fail:\n{done.stdout}"
        return done.stdout

    @contextmanager
    def serving(self) -> Iterator[subprocess.Popen[bytes]]:
        """The image's own command, once its health check passes."""
        deadline = time.monotonic() + HEALTHY_WITHIN_SECONDS
        with self.log.open("wb") as log:
            command = self._command(*self.image.config.command)
            process = subprocess.Popen(command, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        try:
            while self._done(*self.image.config.health_command).returncode != 0:
                assert process.poll() is None, self.log.read_text(encoding="utf-8")
                assert time.monotonic() < deadline, self.log.read_text(encoding="utf-8")
                time.sleep(0.1)
            yield process
        except BaseException:
            print(self.log.read_text(encoding="utf-8"))
            raise
        finally:
            process.kill()
            process.wait()

    def _command(self, *words: str) -> list[str]:
        user, group = self.image.config.user.split(":")
        assert self.service.values["cap_drop"] == ["ALL"]
        assert self.service.values["security_opt"] == ["no-new-privileges:true"]
        inside = ["chroot", str(self.image.tree.root)]
        inside += [
            "setpriv",
            "--reuid",
            user,
            "--regid",
            group,
            "--clear-groups",
            "--bounding-set=-all",
            "--inh-caps=-all",
            "--no-new-privs",
        ]
        return ["unshare", "--pid", "--fork", "--kill-child", *inside, "env", f"--chdir={self.image.config.folder}", *words]

    def _done(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._command(*words),
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )


def stop(process: subprocess.Popen[bytes], name: str) -> None:
    """Send the signal to process 1 of the container, as an engine does."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii")
    os.kill(int(children), signal.Signals[name])
    time.sleep(0.5)  # until it has come


def own_network(gateway: str) -> None:
    """Loopback alone, with the address of the gateway on it: the ports are free, and nothing is fetched from anywhere."""
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare of the network")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        fcntl.ioctl(handle, _SET_FLAGS, struct.pack("16sh22x", b"lo", _UP))
        fcntl.ioctl(handle, _SET_ADDRESS, struct.pack("16sHH4s16x", b"lo:1", socket.AF_INET, 0, socket.inet_aton(gateway)))
