"""After a restore: what was revoked since the backup is forgotten by the database, and is revoked again.

`forgotten` gathers it from the exported audit log; `replay` does it again, to people by `people`; without an export `replay` ends
what may have been ended.
"""
