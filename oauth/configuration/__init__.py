"""Configuration as code: a file declares clients and roles, and the database is brought to what it says.

The file is read strictly (`declarations`), compared with what is there, and carried out by the operations that staff use (`steps`),
all of it in one transaction (`apply`).
"""
