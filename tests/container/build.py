"""Carries out the stages of a Dockerfile, each instruction in a layer of its own."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.container.dockerfile import Config, Ignore, NotUnderstoodError, Stage, Step, parse
from tests.container.layers import BASE_PATH, Tree, run
from tests.e2e.servers import ROOT

# Files that lie about in a checkout. Each holds the marker, and none of them may reach a layer.
DECOY = "decoy-that-must-stay-out-of-the-image"
DECOYS = (
    ".env",
    ".git/config",
    "data/secret-key",
    "secrets/token-keys",
    ".venv/pyvenv.cfg",
    "tests/decoy.py",
    "authserver/__pycache__/decoy.pyc",
)
# How this machine reaches its package index. An engine's build would be told in its own way.
_INDEX_VARIABLES = ("PIP_", "SSL_CERT_", "REQUESTS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


@dataclass(frozen=True)
class Image:
    tree: Tree
    config: Config


def build(folder: Path, *, say: Callable[[str], None]) -> Image:
    """Replay Dockerfile and .dockerignore of the checkout in `folder`."""
    stages = parse((ROOT / "Dockerfile").read_text(encoding="utf-8"))
    context = make_context(folder / "context")
    built: dict[str, Image] = {}
    for number, stage in enumerate(stages):
        built[stage.name or str(number)] = image = _build_stage(stage, folder / f"stage-{number}", context=context, built=built, say=say)
    return image


def files_of_a_commit() -> list[str]:
    """What a commit that is made now would hold."""
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return [name for name in listed if name and (ROOT / name).is_file()]


def make_context(folder: Path) -> Path:
    """What an engine is given: the files of a commit and the decoys, less what .dockerignore names.

    The files are readable for their owner alone, as under a umask of 077.
    """
    ignore = Ignore((ROOT / ".dockerignore").read_text(encoding="utf-8"))
    folder.mkdir(parents=True)
    for name in sorted({*files_of_a_commit(), *DECOYS}):
        if ignore.leaves_out(name):
            continue
        target = folder / name
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if name in DECOYS:
            target.write_text(DECOY, encoding="utf-8")
        else:
            shutil.copy2(ROOT / name, target)
        target.chmod(0o600)
    return folder


def _build_stage(stage: Stage, folder: Path, *, context: Path, built: dict[str, Image], say: Callable[[str], None]) -> Image:
    say(f"FROM {stage.base}: this machine and its Python stand in for it")
    tree, config = Tree(folder), Config(environment={"PATH": BASE_PATH})
    for step in stage.steps:
        begun = time.monotonic()
        tree.add_layer()
        match step.instruction:
            case "RUN":
                _run(step, tree, config)
            case "COPY":
                source = built[step.flags["from"]].tree.root if "from" in step.flags else context
                _copy(step, tree, config, source=source)
            case _:
                config.take(step)
        if step.instruction == "WORKDIR":
            tree.path(config.folder).mkdir(parents=True, exist_ok=True)
        say(f"{str(step)[:100]}  ({time.monotonic() - begun:.1f} s)")
    return Image(tree, config)


def _run(step: Step, tree: Tree, config: Config) -> None:
    environment = {name: value for name, value in os.environ.items() if name.upper().startswith(_INDEX_VARIABLES)}
    environment |= {"HOME": "/root"} | config.environment
    command = ["chroot", str(tree.root), "env", f"--chdir={config.folder}", "/bin/sh", "-c", step.arguments]
    done = subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        umask=0o022,
        check=False,
    )
    assert done.returncode == 0, f"{step}\nended with {done.returncode}:\n{done.stdout}"


def _copy(step: Step, tree: Tree, config: Config, *, source: Path) -> None:
    """Of a folder its content is copied. Everything belongs to root afterwards; modes and times stay."""
    *names, target = step.arguments.split()
    if any(set(name) & set("*?[$") for name in names):
        raise NotUnderstoodError(f"{step}: patterns are not replayed")
    destination = tree.path(target if target.startswith("/") else f"{config.folder}/{target}")
    if target.endswith(("/", ".")) or (source / names[0].lstrip("/")).is_dir():
        destination.mkdir(parents=True, exist_ok=True)
    for name in names:
        path = source / name.lstrip("/")
        content = f"{path}/." if path.is_dir() else str(path)
        run("cp", "--recursive", "--no-dereference", "--preserve=mode,timestamps,links", content, str(destination))
