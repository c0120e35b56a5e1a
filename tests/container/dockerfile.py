"""Reads a Dockerfile and a .dockerignore: what ours use of them, and a refusal of everything else."""

import json
import re
import shlex
from dataclasses import dataclass, field

INSTRUCTIONS = {"ARG", "FROM", "LABEL", "ENV", "WORKDIR", "COPY", "RUN", "USER", "EXPOSE", "HEALTHCHECK", "STOPSIGNAL", "CMD"}
_DIRECTIVE = re.compile(r"#\s*\w+\s*=")
_FLAG = re.compile(r"--([\w-]+)=(\S+)\s+")
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


class NotUnderstoodError(ValueError):
    """The file says something that is not replayed. To pass over it would make the replay a lie."""


@dataclass(frozen=True)
class Step:
    line: int
    instruction: str
    arguments: str
    flags: dict[str, str]

    def __str__(self) -> str:
        flags = "".join(f"--{name}={value} " for name, value in self.flags.items())
        return f"{self.instruction} {flags}{' '.join(self.arguments.split())}"


@dataclass
class Stage:
    name: str
    base: str
    steps: list[Step] = field(default_factory=list)


@dataclass
class Config:
    """What an engine keeps beside the files: how the image is started."""

    environment: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    folder: str = "/"
    user: str = "0:0"
    ports: list[str] = field(default_factory=list)
    health_options: dict[str, str] = field(default_factory=dict)
    health_command: list[str] = field(default_factory=list)
    stop_signal: str = "SIGTERM"
    command: list[str] = field(default_factory=list)

    def take(self, step: Step) -> None:
        """Carry out an instruction that changes no file."""
        text = step.arguments
        match step.instruction:
            case "ENV":
                # The values before this instruction count for all of its variables.
                self.environment |= {name: expand(value, self.environment) for name, value in _assignments(text)}
            case "LABEL":
                self.labels |= dict(_assignments(text))
            case "WORKDIR":
                self.folder = expand(text, self.environment)
            case "USER":
                self.user = text
            case "EXPOSE":
                self.ports += text.split()
            case "STOPSIGNAL":
                self.stop_signal = text
            case "CMD":
                self.command = _exec_form(text)
            case "HEALTHCHECK":
                word, _, command = text.partition(" ")
                if word != "CMD":
                    raise NotUnderstoodError(f"HEALTHCHECK {text}")
                self.health_options, self.health_command = step.flags, _exec_form(command)
            case _:
                raise NotUnderstoodError(f"{step} is not replayed")


def parse(text: str) -> list[Stage]:
    """The stages in their order. Raises NotUnderstoodError."""
    variables: dict[str, str] = {}
    stages: list[Stage] = []
    for step in _steps(text):
        if step.instruction == "ARG" and not stages:
            variables |= dict(_assignments(step.arguments))
        elif step.instruction == "FROM":
            base, *rest = step.arguments.split()
            if rest and rest[0] != "AS":
                raise NotUnderstoodError(str(step))
            stages.append(Stage(rest[1] if rest else "", expand(base, variables)))
        elif not stages or step.instruction == "ARG":
            raise NotUnderstoodError(f"{step}: its place is not understood")
        else:
            stages[-1].steps.append(step)
    return stages


def expand(text: str, variables: dict[str, str]) -> str:
    """Put in what ENV and ARG have set, as an engine does outside of RUN."""
    try:
        expanded = _VARIABLE.sub(lambda found: variables[found[1] or found[2]], text)
    except KeyError as error:
        raise NotUnderstoodError(f"{error} in {text!r} is set nowhere") from None
    if "${" in expanded:
        raise NotUnderstoodError(f"{text!r} does more than name a variable")
    return expanded


def _steps(text: str) -> list[Step]:
    steps, kept, begun_at = [], "", 0
    for number, line in enumerate(text.splitlines(), start=1):
        if _DIRECTIVE.match(line) and number == 1:
            raise NotUnderstoodError(f"line {number}: parser directives are not read")
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        begun_at = begun_at if kept else number
        kept += line.removesuffix("\\")
        if not line.endswith("\\"):
            steps.append(_step(kept.strip(), line=begun_at))
            kept = ""
    if kept:
        raise NotUnderstoodError("the last line goes on")
    return steps


def _step(text: str, *, line: int) -> Step:
    instruction, _, rest = text.partition(" ")
    if instruction not in INSTRUCTIONS or "<<" in rest:
        raise NotUnderstoodError(f"line {line}: {instruction} in this form is not replayed")
    flags: dict[str, str] = {}
    rest = rest.lstrip()
    while found := _FLAG.match(rest):
        flags[found[1]] = found[2]
        rest = rest[found.end() :]
    known = {"COPY": {"from"}, "HEALTHCHECK": {"interval", "timeout", "start-period", "retries"}}.get(instruction, set())
    if set(flags) - known or rest.startswith("--"):
        raise NotUnderstoodError(f"line {line}: a flag of {instruction} is not replayed")
    return Step(line, instruction, rest, flags)


def _assignments(text: str) -> list[tuple[str, str]]:
    pairs = [word.partition("=") for word in shlex.split(text)]
    if not all(equals for _, equals, _ in pairs):
        raise NotUnderstoodError(f"{text!r} is not NAME=value")
    return [(name, value) for name, _, value in pairs]


def _exec_form(text: str) -> list[str]:
    """The words of a command. The other form puts a shell between the engine and the program, and signals end there."""
    if not text.startswith("["):
        raise NotUnderstoodError(f'{text!r} is not in the form ["program", "argument"]')
    words: list[str] = json.loads(text)
    return words


# --- .dockerignore -------------------------------------------------------------------------------


class Ignore:
    """Which files of the folder an engine never gets. The last pattern that matches a path, or a folder above it, decides."""

    def __init__(self, text: str) -> None:
        lines = [line.strip() for line in text.splitlines()]
        self._rules = [self._rule(line) for line in lines if line and not line.startswith("#")]

    @staticmethod
    def _rule(line: str) -> tuple[bool, re.Pattern[str]]:
        pattern = line.removeprefix("!").strip("/")
        if set(pattern) & set("[]\\"):
            raise NotUnderstoodError(f".dockerignore: {line}")
        expression = re.escape(pattern).replace(r"\*\*/", "(?:.*/)?").replace(r"\*\*", ".*").replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
        return not line.startswith("!"), re.compile(expression)

    def leaves_out(self, path: str) -> bool:
        parts = path.split("/")
        names = ["/".join(parts[: count + 1]) for count in range(len(parts))]
        decisions = [leaves_out for leaves_out, pattern in self._rules if any(pattern.fullmatch(name) for name in names)]
        return bool(decisions) and decisions[-1]
