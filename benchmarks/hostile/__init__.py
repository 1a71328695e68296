"""What one hostile peer can cost a server: CPU per byte, the event loop, memory, log."""
