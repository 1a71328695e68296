"""Comparison of two versions of a protocol, as a pure core: what of one version the other does not understand."""
