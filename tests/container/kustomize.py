"""Builds a kustomization as `kubectl kustomize` does, and a refusal of what that would build in another way.

tests/check_manifests.py compares the two.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]

_FIELDS = {"apiVersion", "kind", "resources", "namespace", "images", "configMapGenerator", "patches"}
_CLUSTER_WIDE = {"Namespace"}
_HASH_ALPHABET = str.maketrans("013ae", "ghkmt")  # so that no suffix is a word


class NotUnderstoodError(ValueError):
    """Something that is built elsewhere and not here."""


def build(folder: Path) -> list[Manifest]:
    """All objects of the kustomization in `folder`, as they reach the cluster. Raises NotUnderstoodError."""
    manifests = _gather(folder)
    for config_map in [each for each in manifests if each["kind"] == "ConfigMap"]:
        name = config_map["metadata"]["name"]
        config_map["metadata"]["name"] = f"{name}-{_suffix_of(config_map)}"
        for manifest in manifests:
            _refer(manifest, "configMapRef", name, to=config_map["metadata"]["name"])
    return manifests


def _gather(folder: Path) -> list[Manifest]:
    """As `build`, with the names as they are written."""
    values = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))
    if unknown := values.keys() - _FIELDS:
        raise NotUnderstoodError(f"{folder.name}: {', '.join(sorted(unknown))}")
    manifests = [manifest for name in values.get("resources", []) for manifest in _resource(folder / name)]
    for generator in values.get("configMapGenerator", []):
        _generate(generator, manifests)
    for patch in values.get("patches", []):
        if patch.keys() != {"path"}:
            raise NotUnderstoodError(f"the patch {patch}")
        [changes] = _documents(folder / patch["path"])
        _merge(changes, into=_find(manifests, changes["kind"], changes["metadata"]["name"]))
    for image in values.get("images", []):
        if image.keys() != {"name", "newName", "newTag"}:
            raise NotUnderstoodError(f"the image {image}")
        for manifest in manifests:
            _refer_to_image(manifest, image)
    if "namespace" in values:
        for manifest in manifests:
            if manifest["kind"] not in _CLUSTER_WIDE:
                manifest["metadata"]["namespace"] = values["namespace"]
    return manifests


def _resource(path: Path) -> list[Manifest]:
    return _gather(path.resolve()) if path.is_dir() else _documents(path)


def _documents(path: Path) -> list[Manifest]:
    # Through JSON, since what two anchors share must not be changed for both at once.
    return [json.loads(json.dumps(document)) for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))]


def _find(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    [found] = [each for each in manifests if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


def _generate(generator: dict[str, Any], manifests: list[Manifest]) -> None:
    if unknown := generator.keys() - {"name", "behavior", "literals"}:
        raise NotUnderstoodError(f"configMapGenerator: {', '.join(sorted(unknown))}")
    data = dict(literal.split("=", 1) for literal in generator["literals"])
    match generator.get("behavior", "create"):
        case "create":
            manifests.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": generator["name"]}, "data": data})
        case "merge":
            _find(manifests, "ConfigMap", generator["name"])["data"].update(data)
        case behavior:
            raise NotUnderstoodError(f"configMapGenerator: behavior {behavior}")


def _suffix_of(config_map: Manifest) -> str:
    hashed = {"data": config_map["data"], "kind": "ConfigMap", "name": ""}
    written = json.dumps(hashed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(written.encode()).hexdigest()[:10].translate(_HASH_ALPHABET)


def _merge(changes: Manifest, *, into: Manifest) -> None:
    for key, value in changes.items():
        if isinstance(value, list) or value is None:
            raise NotUnderstoodError(f"a patch of {key}: lists are merged by rules of their own")
        if isinstance(value, dict):
            _merge(value, into=into.setdefault(key, {}))
        else:
            into[key] = value


def _refer(value: Any, kind: str, name: str, *, to: str) -> None:
    for each in _within(value):
        if each.get(kind, {}).get("name") == name:
            each[kind]["name"] = to


def _refer_to_image(value: Any, image: dict[str, str]) -> None:
    for each in _within(value):
        if each.get("image") == image["name"]:
            each["image"] = f"{image['newName']}:{image['newTag']}"


def _within(value: Any) -> list[dict[str, Any]]:
    """All objects in an object."""
    match value:
        case dict():
            return [value, *(found for each in value.values() for found in _within(each))]
        case list():
            return [found for each in value for found in _within(each)]
    return []
