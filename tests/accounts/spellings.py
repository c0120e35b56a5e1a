"""Other ways to write the same name."""


def wide(name: str) -> str:
    """The name in fullwidth letters, as Asian input methods type them."""
    return "".join(chr(ord(character) + 0xFEE0) if "!" <= character <= "~" else character for character in name)
