"""HTTP: messages as POST requests, and as server-sent events."""
