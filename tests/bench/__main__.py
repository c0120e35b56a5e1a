"""`make bench`: measure the server as it is deployed, or two revisions in turns; the tables or the JSON go to standard output."""

import json
import sys
import time

from tests.bench import compare, options, report, suite
from tests.bench.server import ROOT


def main() -> int:
    asked, began_at = options.read(), time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - began_at:5.0f} s  {what}", file=sys.stderr, flush=True)

    kind = compare if asked.base else suite
    run = kind.measure(asked, say=say)
    line = json.dumps(run)
    report.append_to_history(line, root=ROOT)
    print(line if asked.as_json else compare.as_text(run) if asked.base else report.as_text(run))
    for failure in run["failures"]:
        print(f"FAILED  {failure}", file=sys.stderr)
    return 1 if run["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
