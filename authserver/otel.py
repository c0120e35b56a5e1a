"""Whether OpenTelemetry's own variables ask for traces; nothing of OpenTelemetry is imported to find out."""

from collections.abc import Mapping
from importlib.util import find_spec

PREFIX = "OTEL_"
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
NOT_INSTALLED = (
    "OpenTelemetry's variables ask for traces, and its packages are not installed: none are sent. "
    "Install requirements-otel.txt, or unset OTEL_EXPORTER_OTLP_ENDPOINT."
)


def is_wanted(variables: Mapping[str, str]) -> bool:
    """An endpoint is named, and nothing switches traces off."""
    is_off = variables.get("OTEL_SDK_DISABLED", "").lower() == "true" or variables.get("OTEL_TRACES_EXPORTER", "").lower() == "none"
    return not is_off and any(variables.get(name, "").strip() for name in ENDPOINTS)


def is_installed() -> bool:
    try:
        return find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:  # of a package above it
        return False
