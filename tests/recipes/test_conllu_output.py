"""CoNLL-U that is made of text: each sentence has words, and they spell its text."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datamodules.readers.conllu import parse_conllu
from recipes import ner, pos_tagging
from recipes.prediction.conllu import conllu_of
from zoo.text import TOKENIZERS


def spelled(rows: list[list[str]]) -> str:
    """The text that words and their SpaceAfter spell."""
    pieces = [row[1] + ("" if "SpaceAfter=No" in row[9].split("|") else " ") for row in rows]
    return "".join(pieces).rstrip(" ")


@settings(deadline=None)
@given(st.text("ab .,\u00a0\u3000漢é", max_size=12), st.sampled_from(["whitespace", "characters", "words"]))
def test_the_words_spell_the_text(text, tokenizer):
    words = TOKENIZERS[tokenizer](text)
    if not words:
        return
    written = conllu_of(text, words, 7).with_column("upos", ["NOUN"] * len(words))
    (sentence,) = parse_conllu(io.StringIO(written, newline="\n"), "here")
    assert list(sentence.tokens) == words
    assert sentence.lines[0] == "# sent_id = 7\n"
    rows = [line.rstrip("\n").split("\t") for line in sentence.lines if "\t" in line]
    said = sentence.lines[1].rstrip("\n").removeprefix("# text = ")
    assert spelled(rows) == said
    assert said.replace(" ", "") == "".join(words).replace(" ", "")
    if tokenizer == "whitespace":
        assert said.split() == text.split()
    assert [row[6] for row in rows] == ["0"] + ["1"] * (len(words) - 1)
    assert [row[7] for row in rows] == ["root"] + ["dep"] * (len(words) - 1)


def test_words_that_were_given_have_a_space_after_each():
    sentence = conllu_of(("New York", "!"), ("New York", "!"), 1)
    assert sentence.lines[1] == "# text = New York !\n"
    assert sentence.column("misc") == ("_", "_")


@pytest.mark.parametrize(
    ("recipe", "text", "flags", "said"),
    [
        (pos_tagging.RECIPE, "I saw her .\n\nTime  flies\n", [], ["I saw her .", "Time flies"]),
        (ner.RECIPE, "\n他是 硕士\n", ["--model=ner-zh-resume", "--column=misc:NER"], ["他是 硕士"]),
    ],
)
def test_predict_writes_no_sentence_without_a_word(tmp_path, recipe, text, flags, said):
    source, target = tmp_path / "in.txt", tmp_path / "out.conllu"
    source.write_text(text, encoding="utf-8")
    recipe.predict(recipe, [str(source), "--format=conllu", "--output", str(target), *flags])
    blocks = target.read_text("utf-8").split("\n\n")
    assert blocks.pop() == ""
    assert [block.split("\n")[:2] for block in blocks] == [
        [f"# sent_id = {number}", f"# text = {line}"] for number, line in enumerate(said, 1)
    ]
    for block in blocks:
        rows = [line.split("\t") for line in block.split("\n") if not line.startswith("#")]
        assert f"# text = {spelled(rows)}" in block
        assert all(row[3] != "_" for row in rows)
