"""Messages of errors as one line of bounded length, whatever they quote."""

import re

WORD, WHOLE = 300, 2000  # characters of a word, and of a message, from which the middle is left out


class OneLineError(ValueError):
    """Something that a person can mend; the message is one line, whatever it quotes."""

    def __init__(self, message: object = ""):
        super().__init__(one_line(message))


def one_line(message: object) -> str:
    """The text of a message without line breaks and control characters, and without the middle of what is very long."""
    text = re.sub(r"\s*[^\S ]\s*", " ", str(message)).strip()
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    text = re.sub(rf"\S{{{WORD + 1},}}", lambda word: _without_middle(word[0], WORD), text)
    return _without_middle(text, WHOLE)


def _without_middle(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most // 2]}[...]{text[-most // 2 :]}"
