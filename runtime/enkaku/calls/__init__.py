"""What both sides know of a call."""
