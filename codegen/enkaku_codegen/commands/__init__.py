"""Commands of ``enkaku``, one module a command.

``main`` has the parser and the list of commands, ``command`` the interface of a command, ``package`` what the
commands share that work on a generated package. All commands are imported at each start, for the help, so a command
imports its dependencies in its ``run``. Only the commands may import the runtime, print, or read the terminal.
"""
