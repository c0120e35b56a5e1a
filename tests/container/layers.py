"""Trees in layers, as an engine keeps them: overlays over this machine, which stands in for the base image.

Needs root. Everything is mounted in the mount namespace of the caller, who gives a private one.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.e2e.servers import ROOT

# Not of the base image: the checkout and whatever its owner keeps.
HIDDEN = ("/root", "/home", "/tmp", "/run", str(ROOT))  # noqa: S108 - they are hidden, not used
BASE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PIP_CONFIGURATION = ".config/pip/pip.conf"


class Tree:
    """The files of one stage: `root` is what its programs see, `layers` what each instruction wrote, oldest first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "root"
        self.layers: list[Path] = []
        self.root.mkdir(parents=True)
        self._make_base()

    def path(self, name: str) -> Path:
        """Where an absolute path of the tree lies on this machine."""
        return self.root / name.lstrip("/")

    def add_layer(self) -> Path:
        """What is written to `root` from now on lands in this new layer."""
        if self.layers:
            self._unmount()
        layer = self.folder / f"layer-{len(self.layers)}"
        layer.mkdir()
        self._mount(layer)
        self.layers.append(layer)
        return layer

    def seal(self, *, writable: list[str]) -> None:
        """Make the tree read-only, but for empty folders in memory at these paths."""
        for path in writable:
            self.path(path).mkdir(parents=True, exist_ok=True)
        run("mount", "-o", "remount,ro", str(self.root))
        for path in writable:
            self.mount_memory(path)

    def mount_memory(self, path: str) -> None:
        run("mount", "-t", "tmpfs", "-o", "mode=1777,noexec,nosuid,nodev", "tmpfs", str(self.path(path)))

    def _make_base(self) -> None:
        """The machine with its Python at /usr/local/bin, where the official image has it, and without what is HIDDEN."""
        base = self.folder / "base"
        for path in HIDDEN:
            hidden = base / path.lstrip("/")
            hidden.mkdir(parents=True)
            os.setxattr(hidden, "trusted.overlay.opaque", b"y")
        (base / "tmp").chmod(0o1777)
        (base / "root").chmod(0o700)
        self._copy_pip_configuration(base / "root")
        is_elsewhere = sys.base_prefix not in {"/usr", "/usr/local"}
        if is_elsewhere:
            _copy_python(base / "usr/local")
        self._mount(base)
        if sys.base_prefix == "/usr":
            run("chroot", str(self.root), "/usr/bin/python3", "-m", "venv", "/usr/local")
        else:
            run("chroot", str(self.root), "ldconfig")
        if is_elsewhere:
            run("chroot", str(self.root), "/usr/local/bin/python3", "-B", "-m", "ensurepip")
        self._unmount()
        self.base = base

    @staticmethod
    def _copy_pip_configuration(home: Path) -> None:
        """How this machine reaches its package index."""
        source = Path.home() / _PIP_CONFIGURATION
        if source.is_file():
            (home / _PIP_CONFIGURATION).parent.mkdir(parents=True)
            shutil.copy(source, home / _PIP_CONFIGURATION)

    def _mount(self, upper: Path) -> None:
        work = self.folder / f"work-{upper.name}"
        work.mkdir()
        below = [str(layer) for layer in reversed(self.layers)] + ([str(self.base)] if hasattr(self, "base") else []) + ["/"]
        run("mount", "-t", "overlay", "-o", f"lowerdir={':'.join(below)},upperdir={upper},workdir={work}", "overlay", str(self.root))
        for source in ("/proc", "/dev"):
            run("mount", "--bind", source, str(self.path(source)))

    def _unmount(self) -> None:
        run("umount", "--recursive", str(self.root))


def _copy_python(target: Path) -> None:
    """As it is in the official image: by itself in that folder, without bytecode and tests of its own."""
    target.mkdir(parents=True)
    os.setxattr(target, "trusted.overlay.opaque", b"y")
    left_out = shutil.ignore_patterns("__pycache__", "test", "tests", "idle_test", "site-packages", "share", "libpython*.a")
    shutil.copytree(sys.base_prefix, target, symlinks=True, ignore=left_out, dirs_exist_ok=True)


def run(*command: str) -> None:
    """Raises AssertionError, with what it printed, when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
