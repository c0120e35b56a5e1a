"""`make bench` in small: that it runs, and what it prints; how fast the server is stands nowhere in here."""

import os
import re

import pytest

from tests.bench.compare import compared
from tests.bench.cpu import Spent
from tests.bench.generator import Outcome, Result
from tests.bench.phases import Measured, together
from tests.bench.report import figures_of
from tests.project.short_run import short_run

LOADS = {"refresh", "sign_in", "client_credentials", "introspection", "jwks", "mix", "bare_view"}
FIGURES = {"requests", "per_second", "p50_ms", "p95_ms", "p99_ms", "server_cpu_ms", "database_cpu_ms", "redis_cpu_ms"}
RATIOS = {
    "refresh_cpu_per_signature",
    "refresh_rate_per_signature_rate",
    "signin_per_verify",
    "jwks_per_bare_view",
    "mix_p99_flood_per_idle",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The object that a short run prints, on the database that the suite runs on."""
    database = "postgresql" if os.environ.get("TEST_DB_URL") else "sqlite"
    return short_run("tests.bench", "--db", database, folder=tmp_path_factory.mktemp("bench"))


def test_every_load_is_answered_and_has_its_figures(run):
    assert set(run["phases"]) == LOADS
    for name, figures in run["phases"].items():
        assert set(figures) >= FIGURES
        assert figures["requests"] > 0, name
        assert figures["p50_ms"] <= figures["p95_ms"] <= figures["p99_ms"]
        for asked, answers in figures["answers"].items():
            # A machine that is busy with the rest of the suite lets some who sign in wait too long for their hash.
            assert set(answers) <= ({"200", "503"} if asked == "sign_in" else {"200"}), run["failures"]
    assert set(run["phases"]["mix"]["answers"]) <= {"refresh", "sign_in", "jwks"}


def test_what_bounds_the_server_stands_beside_it(run):
    assert set(run["ratios"]) >= RATIOS
    assert all(ratio > 0 for ratio in run["ratios"].values())
    assert all(limit > 0 for limit in run["limits"].values())
    assert run["floods"]["flood"]["guesses_per_second"] > 0
    assert set(run["floods"]["flood"]["guesses"]["guess"]) <= {"400", "503"}


def test_a_run_tells_where_and_of_what_it_is(run):
    assert set(run["machine"]) == {"cpu", "cores", "memory_gb", "kernel", "python", "huge_pages", "database", "argon2"}
    assert run["machine"]["argon2"] == "libsodium" or run["machine"]["argon2"].startswith("libargon2-hwcaps.so.1 for x86-64-v")
    assert re.fullmatch(r"[0-9a-f]{12}|unknown", run["revision"])
    assert run["dirty"] in {True, False}
    assert run["pss_mb"]["master"] > 0
    assert run["cold_start_seconds"] > 0


def test_an_answer_that_should_not_be_fails_the_run():
    good, bad = Outcome([0.25]), Outcome()
    good.answers["200", True] = 1
    bad.answers["429", False], bad.first_failure = 2, "429 rate_limit_exceeded"

    both = together([Measured(Result(2.0, {"refresh": each}, 0.1), Spent({"server": 0.5, "database": 0.25})) for each in (good, bad)])

    assert both.failures() == ["refresh: 2 answers, the first 429 rate_limit_exceeded"]
    figures = figures_of(both)
    assert (figures["requests"], figures["per_second"], figures["p99_ms"]) == (1, 0.2, 250.0)
    assert (figures["server_cpu_ms"], figures["database_cpu_ms"]) == (1000.0, 500.0)
    assert figures["answers"] == {"refresh": {"200": 1, "429": 2}}


def test_two_revisions_are_compared_by_their_medians():
    base = [{"per_second": rate, "p50_ms": 4.0, "p99_ms": 9.0, "cpu_ms": 2.0} for rate in (100.0, 90.0, 400.0)]
    here = [{"per_second": rate, "p50_ms": 4.0, "p99_ms": None, "cpu_ms": 1.0} for rate in (150.0, 10.0, 140.0)]

    figures = compared(base, here)

    assert figures["per_second"] == {"base": 100.0, "here": 140.0, "ratio": 1.4}
    assert figures["cpu_ms"]["ratio"] == 0.5
    assert figures["p99_ms"] == {"base": 9.0, "here": None, "ratio": None}
