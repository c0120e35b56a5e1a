"""A systemd of a test's own: process 1 of new namespaces, over a copy of this machine that keeps nothing, with no units but those given.

Needs root, overlayfs and version 2 of control groups.
"""

import os
import shutil
import socket
import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.container.compose import gateway
from tests.container.running import own_network

UNITS = Path("/units")
OUT = Path("/out")
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_TARGETS = ("sysinit", "basic", "shutdown", "umount", "network-online", "multi-user")
_OWN = ("--mount", "--pid", "--fork", "--kill-child", "--cgroup", "--uts", "--ipc")


def run(script: Path, *words: str, out: Path) -> int:
    """Start `script` with these words as the one process of new namespaces; it calls `become`. Gives the status that systemd ends with."""
    command = ["unshare", *_OWN, sys.executable, str(script), *words, str(out)]
    return subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode


def enter(out: Path) -> None:
    """Make the copy of the machine the root of this process. What is written to OUT stays, in `out`."""
    _mount("--make-rprivate", "/")
    _mount("-t", "tmpfs", "tmpfs", "/mnt")
    root = Path("/mnt/root")
    for name in ("root", "changes", "work"):
        (root.parent / name).mkdir()
    _mount("-t", "overlay", "overlay", "-o", "lowerdir=/,upperdir=/mnt/changes,workdir=/mnt/work", str(root))
    _mount("-t", "proc", "proc", str(root / "proc"))
    # The settings of the kernel are everybody's.
    _mount("--bind", str(root / "proc/sys"), str(root / "proc/sys"))
    _mount("-o", "remount,ro,bind", str(root / "proc/sys"))
    _mount("-t", "sysfs", "-o", "ro", "sysfs", str(root / "sys"))
    _mount("-t", "cgroup2", "cgroup2", str(root / "sys/fs/cgroup"))
    _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", str(root / "run"))
    _make_devices(root / "dev")
    for folder in (OUT, Path("/before")):
        (root / folder.name).mkdir()
    _mount("--bind", str(out), str(root / OUT.name))
    os.chdir(root)
    subprocess.run(["pivot_root", ".", "before"], check=True)
    subprocess.run(["umount", "--lazy", "/before"], check=True)
    _mount("--make-rshared", "/")  # credentials are mounted in a namespace of their own, and come from there
    own_network(gateway())
    socket.sethostname("replay")


def make_environment(folder: Path) -> None:
    """A virtual environment with what is installed for the tests, which every user can read."""
    if sys.base_prefix not in {"/usr", "/usr/local"}:
        _mount("--bind", sys.base_prefix, "/usr/local")
        subprocess.run(["ldconfig"], check=True)
    prefix = "/usr" if sys.base_prefix == "/usr" else "/usr/local"
    python = f"{prefix}/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    subprocess.run([python, "-m", "venv", "--without-pip", str(folder)], check=True)
    [packages] = folder.glob("lib/python*/site-packages")
    _mount("--bind", sysconfig.get_path("purelib"), str(packages))
    program = folder / "bin" / "gunicorn"
    program.write_text(f"#!{folder}/bin/python\nimport sys\nfrom gunicorn.app.wsgiapp import run\nsys.exit(run())\n", encoding="utf-8")
    program.chmod(0o755)


def become(units: list[Path], *, command: list[str]) -> None:
    """Become systemd, with these units; it carries out `command` and ends with its status. Their output is in OUT, a file for each."""
    UNITS.mkdir()
    for target in _TARGETS:
        _write(UNITS / f"{target}.target", "[Unit]\nDefaultDependencies=no\n")
    for unit in units:
        shutil.copy(unit, UNITS)
        _write(UNITS / f"{unit.name}.d/output.conf", f"[Service]\nStandardOutput=append:{OUT}/{unit.stem}.log\nStandardError=inherit\n")
    end = "SuccessAction=exit-force\nFailureAction=exit-force\n"
    runs = f"Type=oneshot\nTimeoutStartSec=infinity\nExecStart={' '.join(command)}\n"
    runs += f"StandardOutput=file:{OUT}/command.log\nStandardError=inherit\n"
    _write(UNITS / "command.service", f"[Unit]\nDefaultDependencies=no\n{end}\n[Service]\n{runs}")
    words = ["--system", "--unit=command.service", "--log-target=null", "--show-status=no", "--crash-reboot=no"]
    places = {"SYSTEMD_UNIT_PATH": str(UNITS), "SYSTEMD_GENERATOR_PATH": "/nowhere", "SYSTEMD_ENVIRONMENT_GENERATOR_PATH": "/nowhere"}
    os.execve("/lib/systemd/systemd", ["systemd", *words], {"PATH": os.environ["PATH"], "container": "replay"} | places)  # noqa: S606


def _make_devices(folder: Path) -> None:
    _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", str(folder))
    for name in (*_DEVICES, "console"):
        (folder / name).touch()
        _mount("--bind", f"/dev/{name if name in _DEVICES else 'null'}", str(folder / name))
    for name in ("shm", "pts", "mqueue"):
        (folder / name).mkdir()
    _mount("-t", "tmpfs", "-o", "mode=1777", "tmpfs", str(folder / "shm"))
    _mount("-t", "devpts", "-o", "newinstance,ptmxmode=0666", "devpts", str(folder / "pts"))
    (folder / "ptmx").symlink_to("pts/ptmx")
    (folder / "fd").symlink_to("/proc/self/fd")


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
