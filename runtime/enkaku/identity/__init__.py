"""Who calls, and who may: keys, signed messages, delegation, replay protection, access rules and rate limits.

Nothing here does I/O, except that a key can be a file. Servers and clients call these functions and classes.
"""
