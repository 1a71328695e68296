"""One module for each peer; peer.py says what it holds."""
