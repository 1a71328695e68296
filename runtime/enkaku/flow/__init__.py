"""Backpressure."""
