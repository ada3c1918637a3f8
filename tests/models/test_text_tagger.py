"""A tagger reads raw texts, and its answers have places in them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import zoo
from recipes import ner, pos_tagging
from zoo.codecs import TaggingCodec
from zoo.errors import ZooError
from zoo.models.options import CharacterOptions
from zoo.models.text_tagger import TaggedSpan

WORDS = ["<pad>", "<unk>", "i", "ca", "n't", "dogs", "bark", ".", "?"]
TAGS = ["O", "B-X", "I-X", "B-Y", "I-Y"]
TEXTS = [
    "I can't bark. Dogs do!",
    "",
    "  Is it?\n\nDr. Dog's (e-mail: a@b.com). ",
    "I saw her duck .",
    "我来了。你呢？ dogs",
]


def tagger(tokenizer: str = "treebank", scheme: str | None = "BIO") -> zoo.SequenceTagger:
    torch.manual_seed(0)
    codec = TaggingCodec(WORDS, ["<pad>", "<unk>", *"abcdefgh.n't"], TAGS, scheme=scheme, tokenizer=tokenizer)
    model = zoo.SequenceTagger(codec, characters=CharacterOptions(output_size=16), hidden_size=8, embedding_size=8)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.7 if parameter.dim() > 1 else 0.0)
    return model.eval()


def test_a_text_is_tagged_sentence_by_sentence(monkeypatch):
    model = tagger()

    def tag(sentences: Sequence[Sequence[str]], max_tokens: int) -> list[list[str]]:
        return [[f"{token}/{place}" for place, token in enumerate(sentence)] for sentence in sentences]

    monkeypatch.setattr(model, "_tag", tag)
    assert model.predict(["I can't bark. Dogs do!\n\nIs it?", "", ["Dogs", "do. So"]]) == [
        "I/0 ca/1 n't/2 bark/3 ./4 Dogs/0 do/1 !/2 Is/0 it/1 ?/2".split(),
        [],
        ["Dogs/0", "do. So/1"],
    ]


@pytest.mark.parametrize("tokenizer", ["treebank", "whitespace"])
def test_a_string_of_separated_tokens_has_the_tags_of_its_tokens(tokenizer):
    tokens = "I ca n't see Mary 's duck in the U.S. , e.g. the mother - in - law .".split()
    model = tagger(tokenizer)
    assert model.codec.tokenize(" ".join(tokens)) == tokens
    assert model.predict([" ".join(tokens)]) == model.predict([tokens])


def test_a_text_for_whitespace_is_one_sentence_of_separated_tokens():
    codec = tagger("whitespace").codec
    assert [[token.text for token in one] for one in codec.read("I can't. Dogs\n\ndo! ")] == [
        ["I", "can't.", "Dogs", "do!"]
    ]
    assert codec.read(" ") == codec.read([]) == []


MODELS = {name: tagger(name) for name in ("treebank", "words", "characters", "whitespace", "keras")}


@settings(deadline=None)
@given(st.text(max_size=30) | st.text(alphabet="aA. ", max_size=9) | st.sampled_from(TEXTS), st.sampled_from([*MODELS]))
def test_answers_have_their_places_in_the_text(text, tokenizer):
    model = MODELS[tokenizer]
    ((tags,), (tokens,), (found,)) = (
        model.predict([text]),
        model.predict([text], return_offsets=True),
        model.find_spans([text]),
    )
    assert [token.tag for token in tokens] == tags
    assert [token.text for token in tokens] == model.codec.tokenize(text)
    assert all(text[one.start : one.end] == one.text for one in [*tokens, *found])
    assert all(one.end <= other.start for one, other in pairwise(tokens))
    starts, ends = {token.start for token in tokens}, {token.end for token in tokens}
    assert all(span.start in starts and span.end in ends and span.label in "XY" for span in found)


def test_a_list_of_tokens_is_a_text_with_a_space_between_them():
    model, tokens = tagger(), ["New York", "can't", "."]
    (found,) = model.predict([tokens], return_offsets=True)
    assert [token.text for token in found] == tokens
    assert [(token.start, token.end) for token in found] == [(0, 8), (9, 14), (15, 16)]


def test_spans_end_with_their_sentence(monkeypatch):
    model = tagger()

    def tag(sentences: Sequence[Sequence[str]], max_tokens: int) -> list[list[str]]:
        return [["B-X", *["I-X"] * (len(sentence) - 1)] if len(sentence) > 2 else ["I-X"] * 2 for sentence in sentences]

    monkeypatch.setattr(model, "_tag", tag)
    text = " Dr. Li came. Why? He said  so.\n"
    assert model.find_spans([text, ["New York", "is", "big"]]) == [
        [TaggedSpan("Dr. Li came.", "X", 1, 13), TaggedSpan("He said  so.", "X", 19, 31)],
        [TaggedSpan("New York is big", "X", 0, 15)],
    ]


def test_spans_need_tags_that_mark_spans():
    with pytest.raises(ZooError, match="return_offsets=True"):
        tagger(scheme=None).find_spans(["dogs"])


def predicted(tmp_path, recipe, text: str, *flags: str) -> str:
    source, target = tmp_path / "in.txt", tmp_path / "out"
    source.write_text(text, encoding="utf-8")
    recipe.predict(recipe, [str(source), "--output", str(target), "--overwrite", *flags])
    return target.read_text("utf-8")


def test_the_command_reads_raw_texts_or_tokens(tmp_path):
    text = "I can't. It barks!\n\nJim's\n"
    words = [[line.split("\t")[0] for line in block.split("\n")] for block in predicted(
        tmp_path, pos_tagging.RECIPE, text).split("\n\n")]  # fmt: skip
    assert words == [["I", "ca", "n't", "."], ["It", "barks", "!"], ["", "Jim", "'s"], [""]]
    (row, *_) = predicted(tmp_path, pos_tagging.RECIPE, text, "--input_format=tokens", "--format=jsonl").splitlines()
    assert json.loads(row)["tokens"] == ["I", "can't.", "It", "barks!"]
    written = predicted(tmp_path, pos_tagging.RECIPE, "Go . Go.\n\nJim's\n", "--format=conllu").split("\n\n")
    assert [block.split("\n")[:2] for block in written[:-1]] == [
        [f"# sent_id = {number}", f"# text = {line}"] for number, line in enumerate(["Go .", "Go.", "Jim's"], 1)
    ]


def test_the_command_writes_places_and_spans(tmp_path):
    text = "王珺珊女士，中国国籍。"
    row = json.loads(predicted(tmp_path, ner.RECIPE, text + "\n", "--offsets"))
    assert [text[start:end] for start, end in row["offsets"]] == row["tokens"] == list(text)
    assert row["spans"][0] == {"text": "王珺珊", "label": "NAME", "start": 0, "end": 3}
    with pytest.raises(ZooError, match="JSON Lines alone"):
        predicted(tmp_path, ner.RECIPE, text, "--offsets", "--format=tsv")
