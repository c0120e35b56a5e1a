"""What `manage.py collectstatic` puts together for production."""

import re
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.management import call_command
from django.test import Client as Browser

SWAGGER_UI = "drf_spectacular_sidecar/swagger-ui-dist"


@pytest.fixture
def collected(settings, tmp_path):
    """The folder, as production has it: under hashed names, compressed."""
    settings.STATIC_ROOT = tmp_path
    settings.STORAGES = django_settings.STORAGES | {"staticfiles": {"BACKEND": "authserver.static_files.Storage"}}
    call_command("collectstatic", interactive=False, verbosity=0)
    return tmp_path


def test_whatever_the_pages_load_is_collected_under_a_hashed_name(collected):
    pages = [Browser().get(path).content.decode() for path in ("/", "/api/docs")]

    loaded = [name for page in pages for name in re.findall(r'(?:src|href)="/static/([^"]+)"', page)]

    assert {re.sub(r"\.[0-9a-f]{12}\.", ".", name) for name in loaded} == {
        "app.css",
        "app.js",
        "icon.svg",
        "api_docs.css",
        "api_docs.js",
        f"{SWAGGER_UI}/swagger-ui.css",
        f"{SWAGGER_UI}/swagger-ui-bundle.js",
    }
    assert [name for name in loaded if not re.search(r"\.[0-9a-f]{12}\.", name)] == []
    assert [name for name in loaded if not (collected / name).exists()] == []
    assert (collected / f"{staticfiles_storage.stored_name(f'{SWAGGER_UI}/swagger-ui-bundle.js')}.gz").exists()


def test_what_no_page_of_ours_loads_is_left_out(collected):
    names = {str(path.relative_to(collected)) for path in collected.rglob("*")}
    folders = {Path(name).parts[0] for name in names}

    assert "rest_framework" not in folders
    assert "admin" in folders
    assert [name for name in names if "redoc" in name or name.endswith(".map")] == []
    assert f"{SWAGGER_UI}/LICENSE" in names
    assert sum(path.stat().st_size for path in collected.rglob("*") if path.is_file()) < 15_000_000
