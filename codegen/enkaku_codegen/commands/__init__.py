"""The commands of ``enkaku``: one module a command.

``main`` has the parser and the list of commands, ``command`` what a command is, ``package`` what the commands
share that work on a generated package. Every command's module is imported at each start, to list the command in
the help: so it imports its dependencies in its ``run``. Commands are the only modules of this package that may
import the runtime, print, and read or write the terminal.
"""
