"""Where and of what a run was: figures are compared within one run, or with this beside them."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploy import build_argon2
from tests.bench.server import Stores, postgres_version


def described(stores: Stores) -> dict[str, Any]:
    cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    meminfo = Path("/proc/meminfo").read_text(encoding="utf-8")
    return {
        "cpu": cpuinfo.partition("model name\t: ")[2].partition("\n")[0],
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(int(meminfo.split()[1]) / 2**20, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "huge_pages": _huge_pages(),
        "database": f"PostgreSQL {postgres_version(stores.postgres_url)} with fsync"
        if stores.postgres_url
        else f"SQLite {_sqlite_version()}",
    }


def argon2_of(pid: int) -> str:
    """What a server hashes passwords by: the library that it has loaded, for which kind of processor, or libsodium."""
    maps = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")
    loaded = {Path(line.split()[-1]) for line in maps.splitlines() if line.endswith(build_argon2.NAME)}
    return next((f"{path.name} for {path.parent.name}" for path in loaded), "libsodium")


def revision(root: Path) -> dict[str, Any]:
    """The commit of a checkout, and whether anything in it is not committed."""
    if not (root / ".git").exists():  # a copy without its history
        return {"revision": "unknown", "dirty": True}
    return {"revision": git("rev-parse", "--short=12", "HEAD", root=root), "dirty": bool(git("status", "--porcelain", root=root))}


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def git(*arguments: str, root: Path) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, encoding="utf-8", check=True)
    return done.stdout.strip()


def _huge_pages() -> str:
    """Whether whoever maps memory gets it in large pages (always), or who asks for them alone (madvise): a password hash maps 19 MiB."""
    try:
        modes = Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text(encoding="utf-8")
    except OSError:
        return "unknown"
    return modes.partition("[")[2].partition("]")[0]


def _sqlite_version() -> str:
    import sqlite3

    return sqlite3.sqlite_version
