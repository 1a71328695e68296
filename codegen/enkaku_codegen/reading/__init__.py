"""Protocol reader: files become a checked definition without references to other files.

It handles files and JSON Schema, and no Python types.
"""
