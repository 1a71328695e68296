"""Socket transports: Unix sockets, TCP and TLS."""
