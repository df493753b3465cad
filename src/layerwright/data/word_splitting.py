"""Where a text's words begin and end; torch is not needed to say so."""

import re

_LINE_BREAK = re.compile(r"<br\s*/?>")
# Letters and digits with apostrophes inside ("isn't"), or one mark that says something by itself;
# Chinese characters and Japanese kana, which are written without spaces, one by one.
_ONE_BY_ONE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(
    rf"[{_ONE_BY_ONE}]|[^\W_{_ONE_BY_ONE}]+(?:['\u2019][^\W_{_ONE_BY_ONE}]+)*|[!?.,;:()\"*-]"
)


def split_words(text: str) -> list[str]:
    """Split a text into words and marks, in lower case; HTML line breaks separate words.

    Example:
        >>> split_words("It isn't bad.<br />Really!")
        ['it', "isn't", 'bad', '.', 'really', '!']
    """
    return _WORD.findall(_LINE_BREAK.sub(" ", text.lower()))
