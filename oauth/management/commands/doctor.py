"""Check a deployment from the inside, and say what to mend."""

import json
from argparse import ArgumentParser
from collections import Counter
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from oauth.doctor import rounds
from oauth.doctor.findings import Finding, Level, examine


class Command(BaseCommand):
    help = (
        "Check a deployment from the inside: database, keys, instances, Redis, mail server, and the server as its clients see it. "
        "Each finding says what there is and how to mend it. Nothing is changed. It ends with 1 when a check fails."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="the same for programs: one object, with an array of the findings")
        parser.add_argument("--strict", action="store_true", help="end with 1 for warnings too")

    def handle(self, *args: Any, **options: Any) -> None:
        findings = []
        for finding in examine(rounds.ALL, lets_crash=options["traceback"]):
            findings.append(finding)
            if not options["json"]:
                self._show(finding)
        counts = Counter(finding.level for finding in findings)
        if options["json"]:
            levels = {level.value: counts[level] for level in Level}
            self.stdout.write(json.dumps({**levels, "findings": [asdict(finding) for finding in findings]}, indent=2))
        else:
            self.stdout.write(f"{counts[Level.OK]} ok, {counts[Level.WARN]} to look at, {counts[Level.FAIL]} failed")
        if counts[Level.FAIL] or (options["strict"] and counts[Level.WARN]):
            raise CommandError("There is something to mend.")

    def _show(self, finding: Finding) -> None:
        style = {Level.OK: self.style.SUCCESS, Level.WARN: self.style.WARNING, Level.FAIL: self.style.ERROR}[finding.level]
        self.stdout.write(f"{style(f'{finding.level:<4}')}  {finding.check:<15}  {finding.found}")
        if finding.mend:
            self.stdout.write(f"{'':<23}-> {finding.mend}")
