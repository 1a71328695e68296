"""Planning: a definition becomes names and simple schemas, one for each type.

Above it: proving and writing. Below it: reading. Every name is decided on here.
"""
