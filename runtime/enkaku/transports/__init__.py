"""What carries messages between a connection and a session."""
