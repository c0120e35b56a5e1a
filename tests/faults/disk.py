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
    """A mounted folder that holds no more than this. Who may mount nothing skips, or fails where all tests must run."""
    as_root = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
    folder = Path(tempfile.mkdtemp(prefix="disk-", dir="/tmp"))
    options = f"size={mebibytes}m,mode=1777"
    mounted = subprocess.run(
        [*as_root, "mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        folder.rmdir()
        reason = f"no file system may be mounted here: {mounted.stderr.strip()}"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    try:
        yield folder
    finally:
        subprocess.run([*as_root, "umount", "--lazy", folder], check=True)
        folder.rmdir()


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
