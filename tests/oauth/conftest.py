"""Who may do everything, for the tests of staff's pages of clients, keys and sessions."""

import pytest
from django.test import Client as Browser

from tests.staff import BROWSER, let_in


@pytest.fixture
def root(make_user):
    """May do everything."""
    return make_user("root", is_staff=True, is_superuser=True)


@pytest.fixture
def staff(root):
    """A browser in which root is signed in."""
    browser = Browser(raise_request_exception=False, headers={"user-agent": BROWSER})
    let_in(browser, root)
    return browser
