"""The runtime of clients in a browser."""
