"""Compares Enkaku with what people use instead, and with the least that asyncio can do: see docs/performance.md.

PYTHONPATH=benchmarks python -m compare --help
"""
