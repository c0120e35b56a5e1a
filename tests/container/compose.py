"""Reads compose.yaml with its variables put in, and a refusal of what would be put in in another way."""

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from dotenv import dotenv_values

from tests.e2e.servers import ROOT

_VARIABLE = re.compile(r"\$(?:\{(\w+)(?:(:-|:\?)([^}]*))?\}|(\$)|(.))")


class MissingError(ValueError):
    """A variable that the file asks for is not set; the text is what the person reads."""


@dataclass(frozen=True)
class Service:
    name: str
    values: dict[str, Any]
    environment: dict[str, str]


def load(folder: Path) -> dict[str, Service]:
    """The services, as they are where `.env` in `folder` holds the variables. Raises MissingError."""
    variables = {name: value or "" for name, value in dotenv_values(folder / ".env").items()}
    document = interpolate(yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8")), variables)
    return {name: _service(name, values, variables) for name, values in document["services"].items()}


def secret_files() -> dict[str, str]:
    document = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    return {name: values["file"] for name, values in document["secrets"].items()}


def interpolate(value: Any, variables: dict[str, str]) -> Any:
    """Every text of a document with ${NAME}, ${NAME:-default}, ${NAME:?message} and $$ put in."""
    match value:
        case str():
            return _VARIABLE.sub(lambda found: _value_of(found, variables), value)
        case list():
            return [interpolate(each, variables) for each in value]
        case dict():
            return {key: interpolate(each, variables) for key, each in value.items()}
    return value


def _value_of(found: re.Match[str], variables: dict[str, str]) -> str:
    name, operator, text, dollar, other = found.groups()
    if other is not None:
        raise ValueError(f"{found[0]!r} is not read")
    if dollar:
        return "$"
    value = variables.get(name, "")
    if value or operator == ":-":
        return value or text
    raise MissingError(f"{name}: {text}")


def _service(name: str, values: dict[str, Any], variables: dict[str, str]) -> Service:
    # What the service names itself wins over its env_file.
    from_file = variables if values.get("env_file") == ".env" else {}
    return Service(name, values, from_file | values.get("environment", {}))


def gateway() -> str:
    """The address from which the server sees what came through a published port."""
    return str(_addresses()["gateway"])


def network() -> ipaddress.IPv4Network:
    """The addresses of all services."""
    return ipaddress.IPv4Network(_addresses()["subnet"])


def _addresses() -> dict[str, str]:
    document = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    [addresses] = document["networks"]["default"]["ipam"]["config"]
    return dict(addresses)
