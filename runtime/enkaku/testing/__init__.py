"""Testing tools: an in-process connection to a handler, and fault injection for connections."""

from .faults import Faults, Flow
from .faulty_proxy import faulty_tcp, faulty_unix
from .memory import connect_memory

__all__ = ["Faults", "Flow", "connect_memory", "faulty_tcp", "faulty_unix"]
