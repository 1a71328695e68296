"""JSON that is safe to print: control characters in it are escaped."""

__all__ = ["escape_all", "shown"]


def shown(value: bytes) -> bytes:
    """Return JSON for a terminal: characters are escaped that would control it."""
    text = value.decode()
    if text.isprintable():
        return value
    return "".join(each if each.isprintable() else _escape(each) for each in text).encode()


def escape_all(text: str) -> str:
    """Return JSON of one line with all characters escaped that ASCII does not print."""
    return "".join(each if " " <= each <= "~" else _escape(each) for each in text)


def _escape(char: str) -> str:
    units = char.encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
