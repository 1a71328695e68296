"""The WebSocket transport: one message a text frame, of the subprotocol ``enkaku.v1``."""
