"""`make bench-instances` in small: that instances agree, what it prints, and that docs/capacity.md names figures that there are."""

from functools import reduce

import pytest

from tests import capacity
from tests.bench.fleet import FAILURES_PER_ADDRESS
from tests.e2e.nginx import need
from tests.project.short_run import short_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The object that a short run with one and two instances prints."""
    need("nginx", "redis-server")
    return short_run("tests.bench.instances", "--sizes", "1,2", folder=tmp_path_factory.mktemp("bench"))


def test_instances_take_what_another_one_issued_refuse_what_it_ended_and_count_together(run):
    in_turns = 1 + 2 * 3 * 2  # a sign-in; by each of two instances three refreshes, and what the next one says of the token
    assert run["agreement"] == {
        "refreshed_in_turns": in_turns,
        "revocation_seen_by_all": 1 + 1 + 2 * 2,
        "failures_counted_together": FAILURES_PER_ADDRESS + 2,
    }
    assert not [failure for failure in run["failures"] if not failure.startswith(("refresh of", "refresh_steady of", "sign_in of"))]


def test_every_size_is_measured_with_what_it_writes(run):
    assert set(run["instances"]) == {"1", "2"}
    for loads in run["instances"].values():
        assert set(loads) == {"refresh", "refresh_steady", "sign_in"}
        assert all(figures["per_second"] > 0 and figures["p50_ms"] <= figures["p99_ms"] for figures in loads.values())
        assert all(figures["wal_bytes"] > 0 for figures in loads.values())
    assert run["ratios"]["refresh_all_cpu_ms_2_per_1"] > 0


def test_the_capacity_model_names_figures_of_the_run(run):
    paths = [row.path for row in capacity.rows(capacity.PAGE.read_text(encoding="utf-8")) if row.path]
    assert len(paths) >= 10
    for path in paths:
        figure = reduce(lambda found, name: found[name], path.replace("instances.4", "instances.2").split("."), run)
        assert isinstance(figure, int | float), path
