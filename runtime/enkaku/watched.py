"""What the objects that programs look at, and keep, have in common.

Above it: the facts of calls and connections. Below it: nothing. It is not compiled even where the facts are: compiled
objects have only what a class that is not compiled hands down to them.
"""

__all__ = ["Watched"]


class Watched:
    """Base of objects that a program may refer to weakly, and put attributes of its own on."""
