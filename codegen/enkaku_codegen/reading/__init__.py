"""Reading: files become the definition of a protocol, checked and free of references to other files.

Above it: planning. Below it: errors, jsontree, stamp. It knows files and JSON Schema, and nothing of Python.
"""
