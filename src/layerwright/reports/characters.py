"""Characters of a user's own texts that a terminal, a browser or a parser would stumble over."""

import re

# Control characters but tab and newline, surrogates without a partner, the two noncharacters that
# XML forbids, and the marks that turn the direction of writing and so show a line as another one.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff\u202a-\u202e\u2066-\u2069]"
)


def printable(text: object) -> str:
    r"""Return a text with each unsafe character as its escape, such as `\x1b`."""
    return _UNSAFE.sub(lambda match: ascii(match[0])[1:-1], str(text))


def encodable(text: object) -> str:
    """Return a text that UTF-8 can hold: surrogates without a partner become their escape."""
    return str(text).encode("utf-8", "backslashreplace").decode("utf-8")
