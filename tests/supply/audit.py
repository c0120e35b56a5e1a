"""Ask what is known against the locked packages (pip-audit): 0 when nothing is, 1 when something is, 2 when nobody could say.

`--if-reachable` makes 0 of that 2, after the same words. An answer counts only when it tells of a flaw that everybody knows
(CANARY): a mirror that serves packages and knows nothing of flaws answers "none" to everything.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.supply.locked import Package, read

PATIENCE_SECONDS, PATIENCE_OF_CHECK_SECONDS = 60, 10
CANARY = Package("jinja2", "2.4.1")  # not ours; CVE-2014-1402, CVE-2016-10745 and CVE-2019-10906 are of it

# Flaws that do not concern this server, by their id, each with the reason. They are printed every time.
ACCEPTED: dict[str, str] = {}


class NotAudited(Exception):
    """Nobody could say what is known."""


@dataclass(frozen=True)
class Verdict:
    """What is known, a line each."""

    packages: int
    flaws: list[str] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)


def audit(packages: list[Package], *options: str, patience: float = PATIENCE_SECONDS) -> Verdict:
    """`options` are pip-audit's, `patience` the seconds that each of its two runs may take. Raises NotAudited."""
    judge([], _ask([CANARY], options, patience=patience))  # who does not know that is not asked for the rest
    return judge(packages, _ask([*packages, CANARY], options, patience=patience))


def judge(packages: list[Package], report: list[dict[str, Any]]) -> Verdict:
    """Raises NotAudited when one package was passed over, or when the report does not know the canary's flaws."""
    answers = {answer["name"]: answer for answer in report}
    asked = [*packages, CANARY]
    unanswered = [package.name for package in asked if "vulns" not in answers.get(package.name, {})]
    if unanswered:
        raise NotAudited(f"the service gave no answer for {len(unanswered)} of {len(asked)} packages, such as {unanswered[0]}")
    if not answers[CANARY.name]["vulns"]:
        raise NotAudited(f"the service knows nothing against {CANARY.name} {CANARY.version}, which is known to be flawed")
    flaws, accepted = [], []
    for package in packages:
        for flaw in answers[package.name]["vulns"]:
            reasons = [ACCEPTED[name] for name in (flaw["id"], *flaw["aliases"]) if name in ACCEPTED]
            mended = ", ".join(flaw["fix_versions"]) or "no version yet"
            line = f"{package.name} {package.version}: {flaw['id']} {' '.join(flaw['aliases'])}, mended in {mended}"
            (accepted if reasons else flaws).append(": ".join([line, *reasons[:1]]))
    return Verdict(len(packages), flaws, accepted)


def _ask(packages: list[Package], options: tuple[str, ...], *, patience: float) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="audit-") as folder:
        asked = Path(folder) / "asked.txt"
        asked.write_text("".join(f"{package.name}=={package.version}\n" for package in packages), encoding="utf-8")
        # Their hashes were checked when they were installed. Nothing is installed or resolved here.
        command = [sys.executable, "-m", "pip_audit", "--requirement", str(asked), "--no-deps", "--disable-pip", "--format", "json"]
        command += ["--progress-spinner", "off", "--cache-dir", folder, "--timeout", "5", *options]
        try:
            done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=patience, check=False)
        except subprocess.TimeoutExpired:
            raise NotAudited(f"no answer within {patience} seconds") from None
    try:
        return list(json.loads(done.stdout)["dependencies"])
    except (ValueError, KeyError):
        last = (done.stderr.strip().splitlines() or ["without a word"])[-1]
        raise NotAudited(f"pip-audit failed: {last[:300]}") from None


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.supply.audit", description=__doc__)
    parser.add_argument("--if-reachable", action="store_true")
    chosen, options = parser.parse_known_args(arguments)
    try:
        verdict = audit(read(), *options, patience=PATIENCE_OF_CHECK_SECONDS if chosen.if_reachable else PATIENCE_SECONDS)
    except NotAudited as reason:
        print(f"not audited: {reason}")
        return 0 if chosen.if_reachable else 2
    for line in (*(f"accepted: {line}" for line in verdict.accepted), *verdict.flaws):
        print(line)
    print(f"audited: {verdict.packages} packages, {len(verdict.flaws)} known flaws")
    return 1 if verdict.flaws else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
