"""Calls by command lines: dialling a server, values as JSON, and what each error means for the exit code.

With the commands, this is all of the generator that may use the runtime.
"""
