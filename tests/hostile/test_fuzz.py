"""Bytes that no client would send. FUZZ_SECONDS makes it longer (`make hostile` takes ten minutes)."""

import os
import random

import pytest

from tests.hostile.fuzzer import fuzz

SECONDS = float(os.environ.get("FUZZ_SECONDS", "12"))


@pytest.mark.checklist(12, 13, 15, 16, 17, 110)
def test_no_bytes_bring_the_server_to_an_error_of_its_own(server, capsys):
    seed = random.randrange(2**32)

    outcome = fuzz(server.base_url, seconds=SECONDS, seed=seed)

    with capsys.disabled():
        print(f"\nfuzzer, seed {seed}: {outcome}")
    assert outcome.failures == []
    assert outcome.requests > SECONDS
    log = server.output()
    assert "Traceback" not in log
    assert "internal error" not in log
