"""Transport over pipes: the stdin and stdout of a process, on the server's and on the client's side."""
