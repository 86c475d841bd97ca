"""The sentences of a page, and how long they are.

Only prose counts: paragraphs and list items of a page of Markdown, without code, tables, headings
and pictures. Code in a sentence counts as one word, a link as the words that it shows.
"""

import re

import pages

LIST_ITEM = re.compile(r"^ *(?:[-*]|\d+\.) +", re.MULTILINE)
NOT_PROSE = re.compile(r"^ *(?:#|\||!\[|<|\+--|:::|\([\w-]+\)=).*$", re.MULTILINE)
# A full stop, question mark or colon ends a sentence, also in front of a quotation mark.
END = re.compile(r"(?<=[.?!:])[*_\"')]*\s+|(?<=[。？！：])")


def paragraphs(text):
    """The paragraphs and list items, each on one line."""
    text = pages.COMMENT.sub("", text)
    text = pages.FENCE.sub("", text)
    text = re.sub(r"(?m)\A---\n.*?^---\n", "", text, flags=re.DOTALL)
    text = re.sub(r"^(?: {4,}|\t)(?! *(?:[-*]|\d+\.) ).*$", "", text, flags=re.MULTILINE)
    text = pages.CODE.sub("code", text)
    text = re.sub(r"!?\[((?:[^\[\]]|\[[^\]]*\])*)\]\([^()\s]+\)", r"\1", text)
    text = NOT_PROSE.sub("\n", text)
    text = LIST_ITEM.sub("\n", text)
    found = [" ".join(part.split()) for part in re.split(r"\n\s*\n", text)]
    return [part for part in found if part]


def sentences(text):
    """Parts of paragraphs between full stops and colons, without lists of links."""
    found = [part.strip() for each in paragraphs(text) for part in END.split(each)]
    return [part for part in found if len(part.split()) > 2]


def length(sentence):
    """Words, or for Chinese two characters for each."""
    chinese = len(re.findall(r"[\u4e00-\u9fff]", sentence))
    return len(re.sub(r"[\u4e00-\u9fff]", " ", sentence).split()) + chinese // 2
