"""The overview in a browser: its chart can be read at every width, and its numbers are in a table."""

from datetime import timedelta
from itertools import pairwise

import pytest

from accounts import audit_tally, clock
from accounts.audit_tally import FAILED, SUCCEEDED
from accounts.models import AuditEvent
from oauth import key_rotation
from tests.browser.conftest import LOOKS


@pytest.fixture
def _busy_days(signing_key):
    """Two weeks of sign-ins, all counted."""
    key_rotation.ensure_standby()
    now = clock.now()
    for day in range(14):
        at = now - timedelta(days=day)
        AuditEvent.objects.bulk_create([AuditEvent(at=at, event=SUCCEEDED) for _ in range(40 + 7 * (day % 5))])
        AuditEvent.objects.create(at=at, event=FAILED, address="198.51.100.7", detail={"count": 4 + day})
    audit_tally.read(most=1000)


@pytest.mark.usefixtures("_busy_days")
@pytest.mark.parametrize(("width", "theme", "language"), LOOKS)
def test_the_chart_and_its_table_can_be_read(page_as, width, theme, language):
    window = page_as("owner", width=width, theme=theme, language=language)
    page = window.go("/admin/")

    boxes = [text.bounding_box() for text in page.locator("svg.chart text").all()]
    window.ensure_fits()
    window.ensure_accessible()
    page.locator(".chart__numbers summary").click()

    assert len(boxes) == 4  # the highest number and three days
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= page.viewport_size["width"] for box in boxes)
    assert not any(left["x"] + left["width"] > right["x"] for left, right in pairwise(boxes[1:]))
    assert page.locator("svg.chart rect").count() == 28
    assert page.locator(".numbers tbody tr").count() == 14
    window.ensure_fits()
    window.ensure_accessible()


@pytest.mark.usefixtures("_busy_days")
def test_the_table_says_what_was_counted(page_as):
    page = page_as("owner").go("/admin/")
    page.locator(".chart__numbers summary").click()

    _, yesterday = audit_tally.read().days()[-2]
    row = page.locator(".numbers tbody tr").nth(12).inner_text().split()

    assert row[-2:] == [str(yesterday.sign_ins), str(yesterday.failures)]
