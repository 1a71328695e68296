"""Comparison of Enkaku with other libraries, and with a baseline of asyncio alone: see docs/performance.md.

PYTHONPATH=benchmarks python -m compare --help
"""
