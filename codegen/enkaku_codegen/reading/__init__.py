"""Reading: files become the definition of a protocol, checked and free of references to other files.

It knows files and JSON Schema, and nothing of Python.
"""
