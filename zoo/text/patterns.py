"""Regular expressions of what is one word in spite of its punctuation: addresses, emoticons, numbers, abbreviations.

The constants are parts of regular expressions without groups. A repetition behind which an expression may still fail is
bounded, so that a search takes linear time.
"""

from __future__ import annotations

import re

from zoo.text.characters import CHINESE_OR_JAPANESE, EXTENDING

TOP_LEVEL = "com|org|net|edu|gov|mil|info|biz|eu|uk|ca|de|fr|au|tv|io|cn|jp|kr|nl|ch|pl|br|ru"
FILE_ENDING = "doc|xls|ppt|pdf|html?|txt|jpe?g|png|gif|zip|exe|url"
# Chinese and Japanese have no space before and behind an address.
IN_NAME = rf"(?:[^\W{CHINESE_OR_JAPANESE}]|-)"
LABELS = rf"{IN_NAME}{{1,63}}(?:\.{IN_NAME}{{1,63}}){{0,8}}"
IN_PATH = r"[^\s<>\"，。、；：！？）】」』》“”]"

WEB_PAGE = rf"(?:(?:https?|ftp)://?|www\.|mailto:){IN_PATH}+"
EMAIL = rf"(?:{IN_NAME}|[.+%&*]){{1,64}}@{LABELS}"
DOMAIN = rf"{LABELS}\.(?i:{TOP_LEVEL})(?!\w)(?:/{IN_PATH}*)?"
FILE = rf"[\w#-]{{0,63}}\.(?i:{FILE_ENDING})(?!\w)"
# Such as comp.sources.unix.
NEWSGROUP = r"[a-z]{2,20}(?:\.[a-z-]{2,20}){2,8}(?![\w.])"
ADDRESS = f"{WEB_PAGE}|{EMAIL}|{DOMAIN}|{FILE}|{NEWSGROUP}"

EMOTICON = (
    r"(?<!\w)(?:[:;=]['’]?[-^o]?[)(\]\[DPp/\\|*3oO](?!\w)[)(]{0,9}"
    r"|\([:;=](?!\w)|\^[_.-]?\^|<3(?!\w)|-_-|[oO][_.][oO](?!\w))"
)

NUMBER = r"(?:(?<!\w)[+.])?\d+(?:[.,:/]\d+)*"
DECADE = r"\d+['’]s(?!\w)"
# Telephone numbers with and without an area, extensions, and dates such as 11-20-2000.
HYPHENATED_NUMBER = (
    r"(?<![\w-])(?:(?:1-)?(?:\d{3}[-/])?\d{3}-\d{4}|[xX]?\d-\d{4}|\d{1,2}-\d{1,2}-(?:\d{4}|\d{2}))(?![\w-])"
)

LETTER = rf"[^\W_{CHINESE_OR_JAPANESE}]"
WORD = rf"{LETTER}+(?:{EXTENDING}+{LETTER}*)*"
# Such as U.S., e.g. and U.S.A.
INITIALS = r"(?:[^\W\d_]\.){2,}(?:[^\W\d_](?!\w))?"
# Titles and names of programming languages.
NAMES = r"(?:Ph\.?D|M\.Sc|B\.Sc)\.?(?!\w)|(?<!\w)(?:C\+\+|[CF]#|\.NET)(?!\w)"
# Of social networks: #sunset and @user.
HASHTAG = r"(?<![\w#@])[#@](?=\w*[^\W\d])\w{2,63}"
WITH_SLASH = r"(?<![\w/])(?i:b/c|l/c|i/c|i/s|n/a|f/b/o|w/o|w/)(?![\w/])"
CURRENCY = r"(?<!\w)(?:US|[UCA])\$"
MARKS = (
    re.escape("''")
    + r"|[.…]+[.!?…]+|…|,\?|[!?]+[.!?]+|[$]{2,}|[’‘]’|//|\\\\|``|<<|>>|[-=]+>|<[-=]|[<>!]=|[-=]{2,}"
    + "".join(rf"|{re.escape(mark)}{{2,}}" for mark in "*_~#+")
)
