"""Text from outside, made harmless for where it is shown."""

import re

# What steers a terminal, breaks a line, turns the direction of writing or is not seen at all; and half of a surrogate
# pair, which no receiver takes.
_STEERS = re.compile(
    r"[\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff"
    r"\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e007f]+"
)
# Slack cannot escape what makes text bold, struck out or code: letters that look like it, and do nothing.
_MARKUP = str.maketrans("*~`", "∗∼ʼ")  # noqa: RUF001
# Receivers behind a Prefect block read mentions, HTML and Markdown, each its own: none is left to read.
_SIGNS = str.maketrans({"<": "‹", ">": "›", "@": "＠", "`": "ʼ", "*": "∗", "[": "(", "]": ")"})  # noqa: RUF001


def plain(text: str, most: int = 300) -> str:
    """Text from outside on one line, without what steers a terminal or turns the direction of writing."""
    text = _STEERS.sub(" ", text)
    return text if len(text) <= most else text[: most - 1] + "…"


def escape(text: str) -> str:
    """Text from outside for Slack: a trace that says <!channel> must not ring anybody's phone."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def literal(text: str) -> str:
    """Text from outside for Slack, and none of it as markup."""
    return escape(text).translate(_MARKUP)


def unsigned(text: str) -> str:
    """Text from outside for receivers of which nobody knows what they make of it."""
    return text.translate(_SIGNS)
