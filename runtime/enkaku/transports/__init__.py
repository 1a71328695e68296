"""Transports: ordered, reliable connections that carry messages between a client session and a server session."""
