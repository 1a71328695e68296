"""A tool server: a program that its client starts, and that asks its client for files and permissions."""
