"""Raw texts to sentences and words with their places."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.text.documents import read_document
from zoo.text.words import split_treebank

NASTY = st.text(alphabet="aB'’. 1-!?:)(,@/$nt\n…é\u0301“”中。_&😀\u200d+", max_size=60)


@pytest.mark.parametrize("stretch, words", [
    ("don't", "do n't"), ("can't", "ca n't"), ("CANNOT", "CAN NOT"), ("gonna", "gon na"), ("She'd've", "She 'd 've"),
    ("it’s", "it ’s"), ("dogs'", "dogs '"), ("PG&E's", "PG&E 's"), ("im", "i m"), ("important", "important"),
    ("o'clock", "o'clock"), ("'s", "'s"), ("'sup", "' sup"), ("n't", "n't"),
    ("mother-in-law,", "mother - in - law ,"), ("non-human", "non-human"), ("E-mail:", "E-mail :"),
    ("10-15", "10 - 15"),
    ("co-", "co -"), ("U.S.", "U.S."), ("e.g.", "e.g."), ("U.S.A", "U.S.A"), ("tree.", "tree ."), ("Mr.", "Mr."),
    ("http://www.a-b.com/x?y=1,2,", "http://www.a-b.com/x?y=1,2 ,"), ("(www.zoo.org).", "( www.zoo.org ) ."),
    ("<bob.smith@mail.example.com>", "< bob.smith@mail.example.com >"), ("zoo.org/a.", "zoo.org/a ."),
    ("notes.doc", "notes.doc"), ("comp.sources.unix", "comp.sources.unix"), ("end.Next", "end . Next"),
    ("$3.50,", "$ 3.50 ,"), ("US$5m", "US$ 5 m"), ("1,000.5kg", "1,000.5 kg"), ("50%", "50 %"), ("1990s", "1990s"),
    ("80's", "80's"), ("3rd", "3rd"), ("+44", "+44"), (".5", ".5"), ("x2", "x2"), ("5pm", "5 pm"),
    ("11/28/2000", "11/28/2000"), ("5:30", "5:30"), ("713-853-1234", "713-853-1234"), ("11-20-2000", "11-20-2000"),
    ("well...", "well ..."), ("what?!", "what ?!"), ("Yes!!!", "Yes !!!"), ("no…", "no …"), ("a--b", "a -- b"),
    ("----", "----"), (":)", ":)"), (";-)", ";-)"), ("^_^", "^_^"), ("<3", "<3"), ("(a:b)", "( a : b )"),
    ("good👍🏽🇩🇪!", "good 👍🏽 🇩🇪 !"), ("“He", "“ He"), ("no’.”", "no ’ . ”"), ("[1]{x}", "[ 1 ] { x }"),
    ("and/or", "and / or"), ("w/o", "w/o"), ("naïve", "naïve"), ("e\u0301te\u0301", "e\u0301te\u0301"),
    ("हिन्दी।", "हिन्दी ।"), ("我来了。OK吗？", "我 来 了 。 OK 吗 ？"), ("l'homme", "l'homme"),
    ("#sunset", "#sunset"), ("@john_doe:", "@john_doe :"), ("#1", "# 1"), ("a@b", "a@b"), ("Ph.D.", "Ph.D."),
    ("C++,", "C++ ,"), (".NET", ".NET"), ("a->b", "a -> b"), ("x>=3", "x >= 3"),
    ("看https://a.cn/x，好。", "看 https://a.cn/x ， 好 。"),
    ("邮箱a@b.cn。", "邮 箱 a@b.cn 。"), ("a," * 30, "a , " * 30), ("z.B.", "z.B."),
])  # fmt: skip
def test_a_stretch_is_split_as_in_the_treebank(stretch, words):
    # What follows keeps the sentence from ending here.
    assert split_treebank(f"{stretch} here") == [*words.split(), "here"]


@pytest.mark.parametrize("text, words", [
    ("He said no.", "He said no ."), ("See no. 7 here", "See no. 7 here"), ("J. Smith", "J. Smith"),
    ("Plan B.", "Plan B ."), ("etc. and more etc.", "etc. and more etc ."), ("in the U.S.", "in the U.S."),
    ("It is I.", "It is I ."), ("I saw her duck .", "I saw her duck ."),
])  # fmt: skip
def test_a_full_stop_belongs_to_its_word_or_not(text, words):
    assert split_treebank(text) == words.split()


@given(st.text() | NASTY)
def test_tokens_are_the_text_at_their_places_and_leave_nothing_out(text):
    tokens = [token for sentence in read_document(text) for token in sentence]
    assert all(text[token.start : token.end] == token.text for token in tokens)
    assert all(one.end <= other.start for one, other in pairwise(tokens))
    assert "".join(token.text for token in tokens) == "".join(text.split())
    assert all(token.text and not re.search(r"\s", token.text) for token in tokens)
    assert all(tokens[place - 1].end == token.start for place, token in enumerate(tokens) if token.is_clitic)


@given(st.lists(st.from_regex(r"[a-z]{2,8}|[.,!?]|\d{1,3}|[A-Z][a-z]{3,8}", fullmatch=True), max_size=12))
def test_no_token_crosses_white_space(tokens):
    text = " ".join(tokens)
    boundaries = {match.start() for match in re.finditer(r"\s", text)}
    for sentence in read_document(text):
        for token in sentence:
            assert not boundaries & {*range(token.start, token.end)}


def test_clitics_are_marked():
    (sentence,) = read_document("She'd've said it isn't Mary's.")
    assert [token.text for token in sentence if token.is_clitic] == ["'d", "'ve", "n't", "'s"]


def test_sentences_are_separate_and_have_their_own_ends():
    text = "Plan B.\n\nIs it? It's done :) See http://a.com/b Now go."
    sentences = read_document(text)
    assert [text[one[0].start : one[-1].end] for one in sentences] == [
        "Plan B.", "Is it?", "It's done :)", "See http://a.com/b", "Now go.",
    ]  # fmt: skip
    assert [token.text for token in sentences[0]] == ["Plan", "B", "."]
    assert read_document("") == read_document(" \n\t") == []


@pytest.mark.parametrize("part", [
    ".", "(", "a", "A.", "a.", "a-", "1", "1,", "1-1-", "'s", "a's", "n't", "@", "a@", "a@b.", "http://", "http://a ",
    "www.", ":(", ":(((", "-_", "! ", ". ", "? .", "e-", "_", "&", "a&", "\u0301", "a\u0301", "👍🏽\u200d", "$", "#",
    "#.", "comp.", "com.", "713-", "“", "。", "中", "1/1/01 1:01 PM ", "\n", "\n ", "…", "doc.", "x", "'", "a'",
])  # fmt: skip
def test_hostile_texts_are_split_in_time(part):
    # With quadratic time or worse, this would take minutes.
    text = part * (100_000 // len(part))
    tokens = [token for sentence in read_document(text) for token in sentence]
    assert "".join(token.text for token in tokens) == "".join(text.split())
