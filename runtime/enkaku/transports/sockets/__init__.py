"""Unix sockets, TCP and TLS."""
