"""A new database has no way in that could be known: nobody is staff until a person makes them, and no password is one of ours."""

import stat

import pytest
from django.core.management import CommandError, call_command
from django.test import Client as Browser

from accounts.models import User
from oauth import demo
from tests.staff import send_password

pytestmark = [pytest.mark.django_db, pytest.mark.checklist(105)]


def test_in_production_bootstrap_makes_no_user_and_no_demo(settings):
    settings.DEVELOPMENT = False
    call_command("bootstrap")

    with pytest.raises(CommandError, match="ENVIRONMENT=development"):
        call_command("bootstrap", demo=True)

    assert not User.objects.exists()


@pytest.mark.parametrize("password", ["admin", "password", "password123", "test123", ""])
def test_the_admin_of_the_demo_has_no_password_that_could_be_known(settings, tmp_path, password):
    settings.DEVELOPMENT, settings.DATA_DIR = True, tmp_path
    call_command("bootstrap", demo=True)
    browser = Browser()

    send_password(browser, demo.ADMIN_USERNAME, password)

    file = tmp_path / demo.ADMIN_PASSWORD_FILE
    assert "_auth_user_id" not in browser.session
    assert len(file.read_text().strip()) >= 16
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [*User.objects.filter(is_staff=True).values_list("username", flat=True)] == [demo.ADMIN_USERNAME]
