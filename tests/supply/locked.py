"""The packages of a lock file: version, hashes, who asks for each, and what is known of it where it is installed."""

import re
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
RUNTIME = ROOT / "requirements.txt"
# The same, and what traces need where they are wanted, or the other server.
EVERYTHING = (ROOT / "requirements-otel.txt", ROOT / "requirements-granian.txt")
OURS = "authserver"

_ENTRY = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(?P<version>[^\s;\\]+)(?: ; (?P<marker>[^\\]+?))?(?: \\)?")
_HASH = re.compile(r" {4}--hash=sha256:(?P<digest>[0-9a-f]{64})(?: \\)?")
_VIA = re.compile(r" {4}#(?: via)? +(?P<name>[A-Za-z0-9._-]+)(?: \([^)]*\))?")


@dataclass
class Package:
    """One entry. `hashes` are of every file that may be installed for it; `wanted_by` are names of entries, or OURS."""

    name: str
    version: str
    marker: str = ""  # where it is installed; everywhere when empty
    hashes: list[str] = field(default_factory=list)
    wanted_by: list[str] = field(default_factory=list)

    def distribution(self) -> metadata.Distribution | None:
        """As installed here. None where its marker does not hold. Raises ValueError for another version than the locked one."""
        try:
            found = metadata.distribution(self.name)
        except metadata.PackageNotFoundError:
            if self.marker:
                return None
            raise ValueError(f"{self.name} is locked and not installed: run make check with the environment of this checkout") from None
        if found.version != self.version:
            raise ValueError(f"{self.name} is locked at {self.version}, but {found.version} is installed")
        return found


def read(*paths: Path) -> list[Package]:
    """Of several files each package once, or of EVERYTHING. Raises ValueError for a line that is none of a lock file."""
    packages: list[Package] = []
    for path in paths or EVERYTHING:
        known = {package.name for package in packages}
        packages += [package for package in _read(path) if package.name not in known]
    return packages


def _read(path: Path) -> list[Package]:
    """In the order of the file. Raises ValueError for a line that is none of a lock file (tests/check_lock.py says which those are)."""
    packages: list[Package] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if entry := _ENTRY.fullmatch(line):
            packages.append(Package(entry["name"], entry["version"], entry["marker"] or ""))
        elif packages and (digest := _HASH.fullmatch(line)):
            packages[-1].hashes.append(digest["digest"])
        elif line == "    # via" or line.startswith("    #   -c "):
            continue  # the names follow, a line each; and where else the same version is locked
        elif packages and (via := _VIA.fullmatch(line)):
            packages[-1].wanted_by.append(via["name"])
        else:
            raise ValueError(f"{path.name}:{number} cannot be read: {line.strip()!r}")
    return packages
