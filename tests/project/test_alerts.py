"""The alarms and the dashboard: they ask for metrics that exist, each alarm has its page, and each fires when it should."""

import json
import re
import subprocess
from typing import Any

import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase

from accounts import metrics
from tests.e2e.nginx import need
from tests.project.test_docs import ROOT, anchors, headings, section

FOLDER = ROOT / "deploy" / "prometheus"
TESTS = sorted(FOLDER.glob("*.test.yml"))
DASHBOARD = ROOT / "deploy" / "grafana" / "authserver.json"

# Every word of ours in an expression; Prometheus makes `up` and `ALERTS` itself.
METRIC = re.compile(r"\b(?:auth_\w+|up(?=\{)|ALERTS(?=\{))")
MATCHER = re.compile(r"(\w+)\s*(?:=~|!=|!~|=)\s*\"([^\"]*)\"")
DURATION = re.compile(r"\d+[smh]")


def test_every_metric_that_a_rule_asks_for_exists() -> None:
    asked = {name for rule in rules() for name in METRIC.findall(rule["expr"])}

    assert len(asked) > 8
    assert asked - series() == {"up"}


def test_every_metric_that_the_dashboard_shows_exists_and_none_is_left_out() -> None:
    asked = {name for expression in expressions() for name in METRIC.findall(expression)}

    assert asked - series() == {"up", "ALERTS"}
    assert {name.removesuffix("_bucket") for name in asked} >= names()


def test_every_label_that_is_asked_for_is_one_of_its_metric() -> None:
    labels = {label for metric in ours() for label in metric._labelnames} | {"le", "job", "instance", "alertname", "alertstate"}

    asked = {label for text in [*(rule["expr"] for rule in rules()), *expressions()] for label, _ in MATCHER.findall(text)}
    grouped = {
        label.strip()
        for text in [*(rule["expr"] for rule in rules()), *expressions()]
        for group in re.findall(r"\b(?:by|on) \(([^)]*)\)", text)
        for label in group.split(",")
    }

    assert asked | grouped <= labels


def test_every_rule_says_how_bad_it_is_how_long_it_waits_and_what_it_means() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in {"critical", "warning"}, rule["alert"]
        assert DURATION.fullmatch(rule["for"]), rule["alert"]
        assert rule["annotations"]["summary"].endswith("."), rule["alert"]


def test_every_alarm_has_its_section_with_commands_and_no_other_section_is_an_alarms() -> None:
    named = [rule["alert"] for rule in rules()]
    written = [title for title in headings("docs/operations.md", level=3) if title.startswith("Authserver")]

    assert written == named  # in the order of the file, too
    assert len(set(named)) == len(named)
    for rule in rules():
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        text = section("docs/operations.md", rule["alert"])
        assert anchor == rule["alert"].lower()
        assert anchor in anchors(ROOT / page)
        assert text.strip().startswith(f"`{rule['labels']['severity']}`. "), rule["alert"]
        # The one that sends on to its neighbour has no commands of its own.
        assert "\n```sh\n" in text or "](#authserver" in text, rule["alert"]


def test_every_alarm_has_a_test_in_which_it_fires_and_there_is_one_of_a_day_without_any() -> None:
    cases = [case for path in TESTS for case in yaml.safe_load(path.read_text("utf-8"))["tests"]]
    samples = [sample["labels"] for case in cases for check in case["promql_expr_test"] for sample in check["exp_samples"]]

    assert {name for labels in samples for name in re.findall(r'alertname="(\w+)"', labels)} == {rule["alert"] for rule in rules()}
    assert any(not check["exp_samples"] for case in cases for check in case["promql_expr_test"])


def test_the_scrape_configuration_of_the_page_has_the_job_that_the_rules_ask_for() -> None:
    jobs = {value for rule in rules() for label, value in MATCHER.findall(rule["expr"]) if label == "job"}

    assert jobs == {"authserver"}
    assert "- job_name: authserver\n" in section("docs/operations.md", "Metrics")


def test_no_panel_of_the_dashboard_has_the_id_or_the_place_of_another() -> None:
    panels = dashboard()["panels"]
    places = [(place["x"], place["y"]) for place in (panel["gridPos"] for panel in panels)]

    assert len({panel["id"] for panel in panels}) == len(panels) > 15
    assert len(set(places)) == len(places)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)
    assert len({panel["title"] for panel in panels}) == len(panels)


def test_every_panel_asks_the_prometheus_that_is_chosen_about_the_instances_that_are_chosen() -> None:
    names = {variable["name"] for variable in dashboard()["templating"]["list"]}
    charts = [panel for panel in dashboard()["panels"] if panel["type"] != "row"]

    assert names == {"source", "instance"}
    assert {panel["datasource"]["uid"] for panel in charts} == {"${source}"}
    assert all('instance=~"$instance"' in target["expr"] for panel in charts for target in panel["targets"])


@pytest.mark.parametrize("arguments", [["check", "rules", FOLDER / "alerts.yml"], ["test", "rules", *TESTS]], ids=["check", "test"])
def test_prometheus_takes_the_rules_and_each_fires_when_it_should(arguments: list[Any]) -> None:
    need("promtool")  # of Debian's package prometheus; without it the rules are only read

    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout


# --- What there is -------------------------------------------------------------------------------


def ours() -> list[MetricWrapperBase]:
    return [metric for metric in vars(metrics).values() if isinstance(metric, MetricWrapperBase)]


def names() -> set[str]:
    return {metric._original_name for metric in ours()}


def series() -> set[str]:
    """The names under which Prometheus finds them."""
    histograms = {metric._original_name for metric in ours() if metric._type == "histogram"}
    return (names() - histograms) | {f"{name}_{part}" for name in histograms for part in ("bucket", "count", "sum")}


def rules() -> list[dict[str, Any]]:
    [group] = yaml.safe_load((FOLDER / "alerts.yml").read_text("utf-8"))["groups"]
    return list(group["rules"])


def dashboard() -> dict[str, Any]:
    return dict(json.loads(DASHBOARD.read_text("utf-8")))


def expressions() -> list[str]:
    shown = dashboard()
    targets = [target["expr"] for panel in shown["panels"] for target in panel.get("targets", [])]
    return targets + [each["expr"] for each in shown["annotations"]["list"]]
