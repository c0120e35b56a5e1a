"""What must be true of the files of an image, and of each of its layers."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.container.build import DECOY, Image

# Everything under /app. What else a commit adds has to be let in by .dockerignore, and named here.
NEEDED = {"accounts", "authserver", "locale", "oauth", "static", "templates", "deploy", "manage.py", "requirements.txt", "LICENSE"}
MADE = {"staticfiles", "__pycache__"}
# Of Debian's smallest system. This machine has more, so it would not show that one is missing.
SYSTEM_LIBRARIES = (
    "libc.so",
    "libm.so",
    "libpthread.so",
    "libdl.so",
    "librt.so",
    "libutil.so",
    "libresolv.so",
    "libgcc_s.so",
    "libstdc++.so",
    "libz.so",
)


def check(image: Image) -> list[str]:
    """What was found, a line each. Raises AssertionError."""
    user = int(image.config.user.split(":")[0])
    app, environment = image.tree.path("/app"), image.tree.path("/opt/venv")
    names = {path.name for path in app.iterdir()}
    assert names == NEEDED | MADE, f"/app has {sorted(names)}"
    assert sorted(path.name for path in (app / "deploy").iterdir() if path.suffix == ".py") == ["build_argon2.py", "healthcheck.py"]

    files = list(walk(app, environment))
    for path in files:
        status = path.lstat()
        assert status.st_uid != user, f"{path} belongs to the server's user"
        assert stat.S_ISLNK(status.st_mode) or not status.st_mode & 0o022, f"others than root may write {path}"
        assert stat.S_ISLNK(status.st_mode) or status.st_mode & 0o004, f"the server's user cannot read {path}"

    sources = [path for path in walk(app) if path.suffix == ".py"]
    plain = [path for path in sources if not list((path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"))]
    assert plain == [], f"without bytecode: {plain}"

    prefix = "/usr" if sys.base_prefix == "/usr" else "/usr/local"
    library = image.tree.path(f"{prefix}/lib/python{sys.version_info[0]}.{sys.version_info[1]}")
    imported = [*library.glob("*.py"), *library.glob("asyncio/*.py"), *library.glob("email/*.py")]
    assert imported, f"where is Python's own library? Not in {library}"
    plain = [path for path in imported if not list((path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"))]
    assert plain == [], f"each start would compile {plain}"

    libraries = foreign_libraries(image)
    assert libraries == set(), f"the base image need not have {sorted(libraries)}"
    decoys = find(DECOY, image.tree.layers)
    assert decoys == [], f"let through: {decoys}"
    return [
        f"/app and /opt/venv: {len(files)} files, readable by the server's user and writable by root alone",
        f"{len(sources)} modules of ours, with their bytecode, and Python's own library with its",
        "the native libraries of the packages need nothing that Debian's smallest system has not",
        "none of the files that lie about in a checkout is in a layer",
    ]


def walk(*folders: Path) -> Iterator[Path]:
    for folder in folders:
        for parent, _, names in os.walk(folder):
            yield from (Path(parent, name) for name in names)


def find(text: str, folders: Iterable[Path]) -> list[Path]:
    """The files below the folders that hold the text."""
    command = ["grep", "--recursive", "--files-with-matches", "--fixed-strings", "--", text, *map(str, folders)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode in {0, 1}, found.stderr
    return [Path(line) for line in found.stdout.splitlines()]


def foreign_libraries(image: Image) -> set[str]:
    """What the compiled packages load that is neither theirs nor the system's."""
    root = str(image.tree.root)
    compiled = [str(path).removeprefix(root) for path in walk(image.tree.path("/opt/venv")) if ".so" in path.suffixes]
    assert compiled, "there is no compiled package: is /opt/venv empty?"
    listed = subprocess.run(["chroot", root, "ldd", *compiled], capture_output=True, text=True, check=False).stdout
    loaded = [line.split(" => ") for line in listed.splitlines() if " => " in line]
    return {name.strip() for name, path in loaded if not path.startswith("/opt/venv/") and not name.strip().startswith(SYSTEM_LIBRARIES)}
