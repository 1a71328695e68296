"""The HTTP transport: each message of a client is a POST; a feed of server-sent events carries what the server sends."""
