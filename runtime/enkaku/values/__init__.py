"""Codecs of slots: encoded JSON to validated Python values, and back."""
