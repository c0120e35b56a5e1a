"""The frame of the admin: what knows of people and of clients both."""
