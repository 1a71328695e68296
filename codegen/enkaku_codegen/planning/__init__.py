"""Planning: a definition becomes names and simple schemas, one for each type.

Every name is decided on here.
"""
