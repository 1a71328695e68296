"""Linter of protocols: rules that a correct protocol may break, and what is suppressed of them."""
