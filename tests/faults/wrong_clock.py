"""A clock that is wrong, and steps, for one server alone, under its C library: time.sleep fails under libfaketime 0.9.10."""

import os
import subprocess
from datetime import timedelta
from pathlib import Path

from tests.e2e.nginx import need

SOURCE = Path(__file__).with_suffix(".c")


class WrongClock:
    """What a server is started with, in `environment`, and how its clock is set from then on."""

    def __init__(self, folder: Path) -> None:
        need("cc")
        library = folder / "wrong_clock.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, SOURCE], check=True)
        (folder / "seconds").write_bytes(bytes(8))
        self._seconds = folder / "seconds"
        self.environment = {"LD_PRELOAD": str(library), "WRONG_CLOCK": str(self._seconds)}

    def set(self, ahead: timedelta) -> None:
        """From now on it is so far ahead of the true one, or behind."""
        descriptor = os.open(self._seconds, os.O_WRONLY)  # in place: the server has it in its memory
        try:
            os.pwrite(descriptor, int(ahead.total_seconds()).to_bytes(8, "little", signed=True), 0)
        finally:
            os.close(descriptor)
