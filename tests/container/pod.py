"""What deploy/kubernetes gives a pod of the server, for an image that runs without a cluster."""

import os
from pathlib import Path
from typing import Any

from tests.container import kustomize
from tests.container.build import Image
from tests.container.compose import Service
from tests.e2e.servers import ROOT

PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


class Pod:
    """One of the deployment in production."""

    def __init__(self) -> None:
        manifests = kustomize.build(ROOT / "deploy/kubernetes/overlays/production")
        by_kind = {each["kind"]: each for each in manifests}
        self._spec: dict[str, Any] = by_kind["Deployment"]["spec"]["template"]["spec"]
        self.settings: dict[str, str] = by_kind["ConfigMap"]["data"]

    def service(self, *, like: Service) -> Service:
        """As compose would describe it: `like` has the same rights and folders."""
        return Service("pod", like.values, self.settings)

    def mount_secrets(self, image: Image, values: dict[str, str]) -> None:
        """Put each in its file, as the group of the pod may read it."""
        group = self._spec["securityContext"]["fsGroup"]
        [secrets] = [volume["secret"] for volume in self._spec["volumes"] if "secret" in volume]
        for name, path in self.settings.items():
            if name.endswith("_FILE"):
                file = image.tree.path(path)
                file.parent.mkdir(exist_ok=True)
                file.write_text(values[Path(path).name] + "\n", encoding="utf-8")
                file.chmod(secrets["defaultMode"])
                os.chown(file, 0, group)

    @property
    def waiting(self) -> list[str]:
        """The command of the container that waits for the migrations."""
        [container] = self._spec["initContainers"]
        return list(container["command"])

    @property
    def before_it_stops(self) -> list[str]:
        [server] = self._spec["containers"]
        return list(server["lifecycle"]["preStop"]["exec"]["command"])

    @property
    def probes(self) -> list[str]:
        """The paths that the kubelet asks for."""
        [server] = self._spec["containers"]
        return [server[probe]["httpGet"]["path"] for probe in PROBES]
