"""Tools for tests: a client of a handler in one process, and a network that can be disturbed."""

from .faults import Faults, Flow
from .faulty_proxy import faulty_tcp, faulty_unix
from .memory import connect_memory

__all__ = ["Faults", "Flow", "connect_memory", "faulty_tcp", "faulty_unix"]
