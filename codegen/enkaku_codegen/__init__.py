"""Code generator of Enkaku for Python: a protocol file becomes a typed package."""
