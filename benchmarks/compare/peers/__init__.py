"""One module per peer; ``compare.peer`` describes the interface."""
