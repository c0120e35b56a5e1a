"""Static files under hashed names, compressed; a page whose file was not collected is plain, and no error."""

from typing import Any

from django.contrib.staticfiles.apps import StaticFilesConfig
from whitenoise.storage import CompressedManifestStaticFilesStorage


class Config(StaticFilesConfig):
    """What our dependencies bring along for pages that are not served here is not collected."""

    ignore_patterns = [
        *StaticFilesConfig.ignore_patterns,
        "rest_framework",
        "redoc",
        "swagger-ui-standalone-preset.*",
        "oauth2-redirect.*",
        "*.map",
        "account",
        "mfa",
    ]


class Storage(CompressedManifestStaticFilesStorage):
    manifest_strict = False

    def hashed_name(self, name: str, content: Any = None, filename: str | None = None) -> str:
        try:
            hashed: str = super().hashed_name(name, content, filename)
        except ValueError:  # collectstatic was not run
            return name
        return hashed
