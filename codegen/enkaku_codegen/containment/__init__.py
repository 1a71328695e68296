"""Containment of schemas: whether a reader's schema accepts every value that a writer's schema accepts.

``contains`` answers, and the other modules are its parts:

- ``pair``: the two schemas, without annotations; whether they are equal
- ``difference``: what the reader demands beyond what the writer promises in the same words
- ``canonical``, ``proof``, ``search``: the three deciders, in the order in which they are asked
- ``worker``: a process for the deciders, whose time and memory are limited
"""

from .contains import Verdict, contains

__all__ = ["Verdict", "contains"]
