"""A service behind authserver: HTTP and WebSocket endpoints for bearers of its access tokens."""
