"""Build the reference library of Argon2 for newer processors: `python deploy/build_argon2.py DEST`; needs a C compiler and pip.

It writes DEST/glibc-hwcaps/x86-64-v3/libargon2-hwcaps.so.1 (AVX2) and …/x86-64-v4/libargon2-hwcaps.so.1 (AVX-512), of which glibc takes
the one that fits the processor when it looks for that name in DEST. There is none for older processors on purpose, and the name is not that
of the distributions' library: without these instructions libsodium is twice as fast (docs/operations.md, "A faster Argon2").
"""

import argparse
import os
import platform
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

# The C sources as they lie in a package that is locked anyway, by the hash of its source distribution in requirements-dev.txt.
PACKAGE, VERSION = "argon2-cffi-bindings", "26.2.0"
SHA256 = "f21ab89bb9850f32b9ca038d9961424bb0d3669d579cbbbfed068cffa6fc0643"
OF_ARGON2 = "f57e61e19229e23c4445b85494dbf7c07de721cb"  # the commit of the sources themselves
NAME = "libargon2-hwcaps.so.1"
BACKEND = "scikit_build_core.build"  # what its pyproject.toml names
LEVELS = {"x86-64-v3": "__AVX2__", "x86-64-v4": "__AVX512F__"}  # of the x86-64 psABI, and what src/opt.c looks for
SOURCES = ("argon2.c", "core.c", "encoding.c", "opt.c", "blake2/blake2b.c")
FLAGS = (
    "-std=c99",
    "-O3",
    "-fPIC",
    "-shared",
    "-fvisibility=hidden",
    "-fstack-protector-strong",
    "-DA2_VISCTL=1",  # the names of argon2.h are seen from outside all the same
    "-DARGON2_NO_THREADS",  # one lane needs none
    f"-Wl,-soname,{NAME}",
    "-Wl,-z,relro,-z,now",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "destination", metavar="DEST", type=Path, help="the folder that the system's loader looks into, such as /usr/local/lib"
    )
    destination: Path = parser.parse_args().destination
    destination.mkdir(parents=True, exist_ok=True)
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        print(f"{platform.system()} on {platform.machine()}: nothing is built, and libsodium hashes as before.")  # noqa: T201
        return 0
    with tempfile.TemporaryDirectory(prefix="argon2-") as folder:
        sources = fetch(Path(folder))
        for level, instructions in LEVELS.items():
            if f"defined({instructions})" not in (sources / "src" / "opt.c").read_text(encoding="utf-8"):
                sys.exit(f"src/opt.c of {PACKAGE} {VERSION} makes nothing of {instructions}.")
            library = destination / "glibc-hwcaps" / level / NAME
            build(sources, library, level=level)
            print(library)  # noqa: T201 - this is a command
    return 0


def fetch(folder: Path) -> Path:
    """Download what is pinned and unpack it: the folder of Argon2's own sources."""
    (folder / "requirements.txt").write_text(f"{PACKAGE}=={VERSION} --hash=sha256:{SHA256}\n", encoding="utf-8")
    _stand_in_for_the_backend(folder / "backend")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--require-hashes", "--no-deps"]
    command += ["--no-binary=:all:", "--no-build-isolation", "--dest", str(folder), "--requirement", str(folder / "requirements.txt")]
    subprocess.run(command, env=os.environ | {"PYTHONPATH": str(folder / "backend")}, check=True)  # noqa: S603
    [archive] = folder.glob("*.tar.gz")
    with tarfile.open(archive) as files:
        files.extractall(folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz") / "extras" / "libargon2"


def _stand_in_for_the_backend(folder: Path) -> None:
    """pip asks the build system of a source distribution for its name before it keeps it. This one knows, and runs nothing of others."""
    module = folder.joinpath(*BACKEND.split(".")).with_suffix(".py")
    module.parent.mkdir(parents=True)
    info = f"{PACKAGE.replace('-', '_')}-{VERSION}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: {VERSION}\n"
    module.write_text(
        "from pathlib import Path\n\n\n"
        "def prepare_metadata_for_build_wheel(folder, config_settings=None):\n"
        f"    Path(folder, {info!r}).mkdir()\n"
        f"    Path(folder, {info!r}, 'METADATA').write_text({metadata!r})\n"
        f"    return {info!r}\n",
        encoding="utf-8",
    )


def build(sources: Path, library: Path, *, level: str) -> None:
    """Whole or not at all: who builds beside us, or has it loaded, sees no half."""
    library.parent.mkdir(parents=True, exist_ok=True)
    made = library.with_name(f".{library.name}-{os.getpid()}")
    # The mark of the linker lets glibc refuse the library on a processor that lacks the level, where it would otherwise crash.
    command = ["cc", *FLAGS, f"-march={level}", f"-Wl,-z,{level}", f"-I{sources}/include", "-o", str(made)]
    subprocess.run([*command, *(str(sources / "src" / name) for name in SOURCES)], check=True)  # noqa: S603
    made.replace(library)


if __name__ == "__main__":
    sys.exit(main())
