"""The server's side of a connection."""
