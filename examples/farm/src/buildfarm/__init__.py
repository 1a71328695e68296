"""A build farm: clients submit builds and watch them, and workers run them."""
