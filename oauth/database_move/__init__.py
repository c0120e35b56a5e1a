"""Moving to another database, such as from SQLite to PostgreSQL, with everything that is in this one, so that nobody has to sign in again.

Both databases are held still (`databases`), every table is read as its columns mean it (`tables`), what the new one holds by itself
gives way (`target`), and nothing is kept unless both sides read alike afterwards (`move`).
"""
