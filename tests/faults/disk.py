"""A small file system in memory, that can be filled."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


@contextmanager
def small_disk(*, mebibytes: int) -> Iterator[Path]:
    """A folder that holds no more than this; or any folder, for all tests but those that fill it, where nothing may be mounted."""
    folder = Path(tempfile.mkdtemp(prefix="disk-", dir="/tmp"))
    folder.chmod(0o1777)
    options = f"size={mebibytes}m,mode=1777"
    is_mounted = _run_as_root("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder))
    try:
        yield folder
    finally:
        if is_mounted:
            assert _run_as_root("umount", "--lazy", str(folder))
        shutil.rmtree(folder)


def _run_as_root(*command: str) -> bool:
    """Whether it could be done."""
    if os.geteuid() != 0:
        if shutil.which("sudo") is None:
            return False
        command = ("sudo", "--non-interactive", *command)
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def need_small(folder: Path) -> None:
    """Skip, or fail where all tests must run, when the folder would take the machine's own disk with it."""
    if not folder.is_mount():
        reason = "no file system may be mounted here, so none can be filled: it takes root, or CAP_SYS_ADMIN in a container"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """As long as this lasts not one more byte fits on the file system."""
    ballast = folder / "ballast"
    try:
        with ballast.open("wb", buffering=0) as file:
            while free := shutil.disk_usage(folder).free:  # others write too
                with suppress(OSError):
                    os.posix_fallocate(file.fileno(), ballast.stat().st_size, free)
        assert shutil.disk_usage(folder).free == 0
        yield
    finally:
        ballast.unlink()
