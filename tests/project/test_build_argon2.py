"""deploy/build_argon2.py builds what is locked, for processors that have what it is fast by, and elsewhere nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy import build_argon2
from tests import libargon2
from tests.supply import locked


def test_its_sources_are_those_of_the_locked_package() -> None:
    [package] = [each for each in locked.read(libargon2.ROOT / "requirements-dev.txt") if each.name == build_argon2.PACKAGE]

    said = "After make lock: the version and the hash of the source distribution belong into deploy/build_argon2.py too."
    assert (package.version, build_argon2.SHA256 in package.hashes) == (build_argon2.VERSION, True), said


def test_each_level_uses_its_own_instructions_and_is_marked_for_the_loader() -> None:
    found = {path.parent.name: (disassembled(path), notes(path)) for path in libargon2.folder().rglob(libargon2.NAME)}

    assert found.keys() == {"x86-64-v3", "x86-64-v4"}
    for level, (code, note) in found.items():
        assert ("%ymm" in code, "%zmm" in code) == (True, level == "x86-64-v4")
        assert f"x86 ISA needed: {level}" in note


@pytest.mark.parametrize(("lacking", "level"), [("", ""), ("-AVX512F", "x86-64-v3"), ("-AVX2", None)], ids=["nothing", "AVX-512", "AVX2"])
def test_the_loader_takes_what_fits_the_processor_and_nothing_where_nothing_does(lacking: str, level: str | None) -> None:
    code = f"import ctypes; ctypes.CDLL({libargon2.NAME!r}); print(open('/proc/self/maps').read())"
    environment = os.environ | {"LD_LIBRARY_PATH": str(libargon2.folder()), "GLIBC_TUNABLES": f"glibc.cpu.hwcaps={lacking}"}

    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)

    if level is None:
        assert f"{libargon2.NAME}: cannot open shared object file" in done.stderr
    else:
        assert f"{libargon2.folder()}/glibc-hwcaps/{level}" in done.stdout


def test_elsewhere_it_builds_nothing_and_says_so(tmp_path: Path) -> None:
    script = str(libargon2.ROOT / "deploy" / "build_argon2.py")
    code = f"import platform, runpy, sys; platform.machine = lambda: 'aarch64'; runpy.run_path({script!r}, run_name='__main__')"

    done = subprocess.run([sys.executable, "-c", code, tmp_path / "made"], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "Linux on aarch64: nothing is built, and libsodium hashes as before.\n")
    assert list((tmp_path / "made").iterdir()) == []


def test_who_asks_for_help_is_told_and_nothing_is_built(tmp_path: Path) -> None:
    command = [sys.executable, str(libargon2.ROOT / "deploy" / "build_argon2.py"), "--help"]

    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    assert "DEST" in done.stdout
    assert "needs a C compiler" in done.stdout
    assert list(tmp_path.iterdir()) == []


def disassembled(path: Path) -> str:
    return subprocess.run(["objdump", "--disassemble", path], capture_output=True, text=True, check=True).stdout


def notes(path: Path) -> str:
    return subprocess.run(["readelf", "--notes", path], capture_output=True, text=True, check=True).stdout
