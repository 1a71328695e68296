"""Commands of ``enkaku``, one module a command.

``main`` has the list of commands and the dispatch, ``command`` the interface of a command, ``package`` what the commands
share that work on generated packages. A command is imported when it is run, and imports its dependencies when it needs
them. Only the commands may import the runtime, print, or read the terminal.
"""
