"""After a restore: what was revoked since the backup is forgotten by the database, and is revoked again.

`forgotten` gathers it from the exported audit log, which `lines` reads, and `endings` those of many sessions at once; `replay` does it
again, to people by `people`, and `done` knows what was done before; without an export `replay` ends what may have been ended.
"""
