"""Argon2's reference library for this machine's processor, built as an operator builds it; and libraries that are not what they seem."""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import pytest

from accounts.libargon2 import _Context
from deploy import build_argon2

ROOT = Path(__file__).resolve().parent.parent
NAME = build_argon2.NAME
# Over the real one, with what would be left behind.
LEAKY = """
#include <stddef.h>

int argon2id_ctx(void *context);

int argon2_ctx(char *context, int type) {
    unsigned char *memory = NULL;
    int status = argon2id_ctx(context);
    (*(int (**)(unsigned char **, size_t))(context + ALLOCATE))(&memory, 1);
    *memory = 1;
    return status;
}
"""
OF_NOTHING = "int argon2_ctx(void *context, int type) { return 0; }"
REFUSING = "int argon2_ctx(void *context, int type) { return -22; }"


@cache
def folder() -> Path:
    """What deploy/build_argon2.py has made."""
    made = _folder()
    done = subprocess.run([sys.executable, ROOT / "deploy/build_argon2.py", made], capture_output=True, text=True, timeout=100, check=False)
    if done.returncode != 0 and os.environ.get("CI") != "true":
        pytest.skip(f"the library cannot be built here; it takes gcc and libc6-dev: {done.stderr}")
    assert done.returncode == 0, done.stderr
    return made


@cache
def library() -> Path:
    """The file that the system's loader takes of those."""
    if "avx2" not in Path("/proc/cpuinfo").read_text(encoding="utf-8"):
        pytest.skip("there is no library for this processor, which has no AVX2")
    code = f"import ctypes; ctypes.CDLL({NAME!r}); print(open('/proc/self/maps').read())"
    environment = os.environ | {"LD_LIBRARY_PATH": str(folder())}
    maps = subprocess.run([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    [found] = {line.split()[-1] for line in maps.splitlines() if line.endswith(NAME)}
    return Path(found)


def leaky() -> Path:
    return _compiled(LEAKY, str(library()))


def of_nothing() -> Path:
    return _compiled(OF_NOTHING)


def refusing() -> Path:
    return _compiled(REFUSING)


def _compiled(source: str, *options: str) -> Path:
    made = _folder() / "libother.so"
    command = ["cc", "-shared", "-fPIC", f"-DALLOCATE={_Context.allocate_cbk.offset}", f"-Wl,-rpath,{library().parent}", "-o", made]
    subprocess.run([*command, "-x", "c", "-", "-x", "none", *options], input=source, text=True, check=True)
    return made


def _folder() -> Path:
    made = Path(tempfile.mkdtemp(prefix="libargon2-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made
