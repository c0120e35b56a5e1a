"""Moving in from the service that the integration guide was first written for, so that nobody has to sign in again.

Its users, clients and live refresh tokens come in at once (`move`), from its database as it is (`database`). A refresh token
of it becomes the first one of a session here, so that from then on it is a token like any other (`refresh_tokens`); a client's
secret stays a bcrypt hash until the client shows it (oauth/foreign_secrets.py).
"""
