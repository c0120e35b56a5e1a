#!/usr/bin/env python
"""The command line: `manage.py help` lists the commands."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "authserver.settings")
    from django.core.management import execute_from_command_line

    # Read the settings first, so that a wrong variable ends in its one line even for
    # commands that Django would let go on without settings.
    import authserver.settings  # noqa: F401 - imported for its checks

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
