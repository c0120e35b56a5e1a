"""A service behind authserver, in Django REST framework: endpoints for bearers of its access tokens."""
