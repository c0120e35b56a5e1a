"""The lock files are hashed, name no host, and are what pyproject.toml resolves to. Exits with 1 and says what is wrong."""

import difflib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UV = ROOT / ".venv" / "bin" / "uv"
COMPILE = ("pip", "compile", "--quiet", "--universal", "--generate-hashes", "--no-header", "pyproject.toml")
# As `make lock` has them, without --upgrade: an older version that still fits is no fault.
LOCKS = {
    "requirements.txt": ("-o", "requirements.txt"),
    "requirements-otel.txt": ("--extra", "otel", "-o", "requirements-otel.txt", "-c", "requirements.txt"),
    "requirements-granian.txt": ("--extra", "granian", "-o", "requirements-granian.txt", "-c", "requirements-otel.txt"),
    "requirements-dev.txt": (
        *("--extra", "otel", "--extra", "granian", "--group", "dev"),
        *("-o", "requirements-dev.txt", "-c", "requirements-otel.txt"),
    ),
}

_ENTRY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(\[[A-Za-z0-9,._-]+\])?==[^\s;\\]+( ; [^\\]+)?( \\)?")
_HASH = re.compile(r" {4}--hash=sha256:[0-9a-f]{64}( \\)?")
_COMMENT = re.compile(r" {4}#.*")
_HOST = re.compile(r"://| @ |--(?:extra-)?index-url|--find-links|--trusted-host", re.IGNORECASE)


def problems_of_form(name: str, text: str) -> list[str]:
    """Lines that a lock file must not hold, and entries without a hash."""
    problems, entry, hashes = [], "", 0
    for number, line in enumerate([*text.splitlines(), "end==0"], start=1):
        if _HOST.search(line):
            problems.append(f"{name}:{number} names a host or an URL: {line.strip()}")
        elif _HASH.fullmatch(line):
            hashes += 1
        elif _ENTRY.fullmatch(line):
            if entry and not hashes:
                problems.append(f"{name}: {entry} has no hash")
            entry, hashes = line.split(" ")[0], 0
        elif not _COMMENT.fullmatch(line):
            problems.append(f"{name}:{number} is neither a pinned version nor a hash: {line.strip()!r}")
    return problems


def problems_of_content() -> list[str]:
    """What `make lock` would change if no newer version had come out: compiled over a copy."""
    environment = os.environ | {"UV_PYTHON_DOWNLOADS": "never", "UV_SYSTEM_CERTS": "1"}
    problems = []
    with tempfile.TemporaryDirectory(prefix="lock-") as folder:
        for name in ("pyproject.toml", *LOCKS):
            shutil.copy(ROOT / name, folder)
        for name, options in LOCKS.items():
            compiled = subprocess.run([UV, *COMPILE, *options], cwd=folder, env=environment, capture_output=True, text=True, check=False)
            if compiled.returncode != 0:
                return [f"{name} could not be compiled anew: {compiled.stderr.strip()}"]
            ours, anew = ((path / name).read_text(encoding="utf-8").splitlines() for path in (ROOT, Path(folder)))
            changes = [line for line in difflib.unified_diff(ours, anew, lineterm="", n=0) if re.match(r"[+-](?![+-])", line)]
            if changes:
                problems.append("\n  ".join([f"{name} is not what pyproject.toml resolves to; run make lock:", *changes[:20]]))
    return problems


def main() -> int:
    problems = [
        problem
        for name in LOCKS
        for problem in (
            problems_of_form(name, (ROOT / name).read_text(encoding="utf-8")) if (ROOT / name).is_file() else [f"{name} is missing"]
        )
    ]
    problems = problems or problems_of_content()
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
