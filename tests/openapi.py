"""The OpenAPI document, as answers are held against it."""

from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker

Part = dict[str, Any]
METHODS = ("get", "post", "put", "patch", "delete")


def operations_of(document: Part) -> dict[tuple[str, str], Part]:
    """By method and path."""
    return {(method.upper(), path): item[method] for path, item in document["paths"].items() for method in METHODS if method in item}


def bodies_of(operation: Part) -> Iterator[tuple[str, Part]]:
    """Whatever carries a body, by name: the request, and the answer of each status."""
    carriers = {"request": operation.get("requestBody", {}), **operation["responses"]}
    for name, carrier in carriers.items():
        for content in carrier.get("content", {}).values():
            yield name, content


def errors_of(value: Any, schema: Part, *, document: Part) -> list[str]:
    """What is wrong with a value, in words."""
    # References begin at the root of the document.
    validator = Draft202012Validator({**schema, "components": document["components"]}, format_checker=FormatChecker())
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


def closed(part: Any) -> Any:
    """The same, but no object has members beside those described: clients bear new ones, our own answers have none."""
    if isinstance(part, list):
        return [closed(each) for each in part]
    if not isinstance(part, dict):
        return part
    found = {name: closed(value) for name, value in part.items()}
    is_whole = found.get("type") == "object" and isinstance(found.get("required"), list) and "properties" in found
    return {"additionalProperties": False, **found} if is_whole else found
