"""The classification datamodule: formats, columns, labels, tokens, and what it refuses."""

from __future__ import annotations

import csv
import io
import json
import os
import time
import warnings
import zipfile
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given
from hypothesis import strategies as st

from datamodules import CATALOG, ClassificationDataModule, DataError, TaggingDataModule, locate, preparation
from datamodules.examples import LabelledText
from datamodules.readers.labelled_texts import read_labelled_texts
from zoo import TextClassifier, from_pretrained
from zoo.codecs import ClassificationCodec
from zoo.errors import ZooError
from zoo.text import SentencePieceModel

ROWS = [("good", 'A "fine" film, really'), ("bad", "No\tplot"), ("good", ""), ("bad", "שלום 😀 中文 e\u0301")]


def write(path: Path, rows=ROWS, header=("label", "text")) -> Path:
    """A table in the format of the path's ending."""
    if path.suffix == ".jsonl":
        content = "".join(json.dumps(dict(zip(header, row, strict=True)), ensure_ascii=False) + "\n" for row in rows)
    elif path.suffix == ".tsv":
        content = "".join("\t".join(row) + "\n" for row in [header, *rows])
    else:
        target = io.StringIO(newline="")
        csv.writer(target).writerows([header, *rows])
        content = target.getvalue()
    path.write_text(content, encoding="utf-8", newline="")
    return path


def read(path: Path, **options) -> list[tuple[str, str]]:
    return [(text.labels[0], text.text) for text in read_labelled_texts(path, **options)]


# ------------------------------------------------------------------------------------------------ tables


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_rows_survive_commas_quotes_tabs_and_scripts(tmp_path, ending):
    assert read(write(tmp_path / f"a.{ending}")) == ROWS


@given(st.lists(st.tuples(st.sampled_from("ab"), st.text(st.characters(exclude_categories=["Cs"]))), min_size=1))
def test_any_text_comes_back_from_csv_and_json(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("tables")
    for ending in ("csv", "jsonl"):
        assert read(write(folder / f"a.{ending}", rows)) == rows


def test_tsv_has_no_quotes(tmp_path):
    rows = [("good", '"half a quote'), ("bad", 'a "b" c')]
    assert read(write(tmp_path / "a.tsv", rows)) == rows


def test_columns_by_number_mean_no_header(tmp_path):
    path = write(tmp_path / "a.tsv", [("bad", "b")], header=("good", "a"))
    assert read(path, text_column="-1", label_column="0") == [("good", "a"), ("bad", "b")]
    assert read(path, text_column="-1", label_column="0", header=True) == [("bad", "b")]
    assert read(path, text_column=-1, label_column=0) == [("good", "a"), ("bad", "b")]
    assert read(path, text_column=-1, label_column=-2) == [("good", "a"), ("bad", "b")]
    with pytest.raises(DataError, match="a.tsv:1: expected a column -3, got good, a"):
        read(path, text_column=-3, label_column=0)


@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_a_header_is_not_a_row_even_if_columns_are_numbers(tmp_path, ending):
    rows = [("good", "a"), ("bad", "b")] * 6
    path, numbers = write(tmp_path / f"a.{ending}", rows), dict(text_column="1", label_column="0")
    with pytest.raises(DataError, match=rf"a.{ending}:1: expected a label that other rows have too, got label.*header"):
        read(path, **numbers)
    assert read(path, **numbers, header=True) == rows
    assert read(path, **numbers, header=False) == [("label", "text"), *rows]
    assert read(write(path, rows, header=("bad", "c")), **numbers) == [("bad", "c"), *rows]
    assert len(read(write(path, rows[:9]), **numbers)) == 10  # of few rows one may be the only one of its label


def test_columns_of_json_lines_by_number_are_keys_of_the_first_object(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"label": "good", "id": 1, "text": "a"}\n{"text": "b", "label": "bad", "0": "c"}\n')
    assert read(path, text_column="-1", label_column="0") == read(path) == [("good", "a"), ("bad", "b")]
    with pytest.raises(DataError, match="a.jsonl:1: expected a column 3, got label, id, text"):
        read(path, text_column="3")


@pytest.mark.parametrize(
    "line, message",
    [('{"text": "a", "text": "b", "label": "x"}', "two values of 'text'"), ('{"a":' * 100_000, "recursion")],
    ids=["a repeated key", "too deep"],
)
def test_ambiguous_json_is_refused(line, message, tmp_path):
    (tmp_path / "a.jsonl").write_text(line, encoding="utf-8")
    with pytest.raises(DataError, match=f"a.jsonl:1: expected a JSON object a line, got: .*{message}"):
        read(tmp_path / "a.jsonl")


def test_halves_of_characters_elsewhere_do_no_harm(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(r'{"label": "good", "text": "\ud83d\ude00", "id": "\ud83d"}')
    assert read(path) == [("good", "😀")]


def test_a_carriage_return_within_a_line_of_csv(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"label,text\ngood,x\ngood,a\rb\n")
    with pytest.raises(DataError, match=r"a.csv:3: expected CSV, got a carriage return inside a line. Quote the field"):
        list(read_labelled_texts(tmp_path / "a.csv"))
    (tmp_path / "a.csv").write_bytes(b'label,text\ngood,"a\rb"\n')
    assert read(tmp_path / "a.csv") == [("good", "a\rb")]


def test_a_byte_order_mark_carriage_returns_and_blank_lines_are_not_rows(tmp_path):
    for name, content in [
        ("a.csv", "label,text\r\n  \r\ngood,x\r\n\r\n"),
        ("a.tsv", "label\ttext\r\n  \r\ngood\tx\r\n\r\n"),
    ]:
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + content.encode())
        assert list(read_labelled_texts(tmp_path / name)) == [LabelledText("x", ("good",), 3)]


def test_parquet(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    labels, texts = zip(*ROWS, strict=True)
    parquet.write_table(arrow.table({"label": labels, "text": texts}), tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet") == ROWS
    assert read(tmp_path / "a.parquet", text_column="-1", label_column="0") == ROWS
    parquet.write_table(arrow.table({"label": [1, 0], "text": ["a", None]}), tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"b.parquet:2: expected a text in column text, got None"):
        read(tmp_path / "b.parquet")
    with pytest.raises(DataError, match="expected a column review, got label, text"):
        read(tmp_path / "a.parquet", text_column="review")
    columns = [arrow.array(column) for column in (texts, texts[::-1], labels)]
    twins = arrow.Table.from_arrays(columns, ["t", "t", "label"])
    parquet.write_table(twins, tmp_path / "b.parquet")
    with pytest.raises(DataError, match="expected one column t, got t, t, label"):
        read(tmp_path / "b.parquet", text_column="t")
    assert read(tmp_path / "b.parquet", text_column="0", label_column="2") == ROWS
    parquet.write_table(arrow.table({"label": [1.0, 0.0], "text": ["a", "b"]}), tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"b.parquet:1: expected a label in .*, got 1.0.*whole number.*1.0 to 1"):
        read(tmp_path / "b.parquet")
    (tmp_path / "c.parquet").write_text("no")
    with pytest.raises(DataError, match="c.parquet: expected a Parquet file"):
        read(tmp_path / "c.parquet")


def test_parquet_is_optional(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"pip install lstm-zoo\[arrow\]"):
        read(tmp_path / "a.parquet")


def test_labels_may_be_numbers_or_several(tmp_path):
    path = write(tmp_path / "a.jsonl", [(1, "a"), (0, "b")])
    assert [text.labels for text in read_labelled_texts(path)] == [("1",), ("0",)]
    several = [("x|y|x", "a"), ("", "b"), (["z", "x"], "c")]
    path = write(tmp_path / "b.jsonl", several)
    assert [text.labels for text in read_labelled_texts(path, multi_label=True)] == [("x", "y"), (), ("z", "x")]


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("a.csv", "label,review\ngood,x\n", r"a.csv:1: expected a column text, got label, review.*--data.text_column"),
        ("a.csv", 'label,text\ngood,x\nbad,"y\nz\n', r"a.csv:3: expected CSV, got a quote that is opened here"),
        ("a.csv", 'label,text\ngood,"x"y\n', r"a.csv:2: expected CSV, got .*quote inside"),
        ("a.csv", "label,text\ngood,x,y\n", r"a.csv:2: expected 2 columns as in line 1, got 3"),
        ("a.tsv", "label\ttext\ngood\tx\ty\n", r"a.tsv:2: expected 2 columns as in line 1, got 3"),
        ("a.csv", "label,text\n ,x\n", r"a.csv:2: expected a label in column label, got ' '"),
        ("a.csv", "label,text\n", r"a.csv: expected texts with a label each, got none"),
        ("a.csv", "", r"a.csv: expected texts"),
        ("a.csv", "label,text\rgood,x\n", r"a.csv:1: expected CSV, got a carriage return inside a line"),
        ("a.jsonl", '{"label": "a", "text": NaN}\n', r"a.jsonl:1: expected a text in column text, got nan"),
        ("a.jsonl", '{"label": null, "text": "x"}\n', r"a.jsonl:1: expected a label in column label, got None"),
        ("a.jsonl", '{"label": ["a"], "text": "x"}\n', r"a.jsonl:1: .*--data.multi_label true"),
        ("a.jsonl", '{"label": 1.0, "text": "x"}\n', r"a.jsonl:1: .*got 1.0.*a whole number: convert"),
        ("a.jsonl", '{"label": "a\\tb", "text": "x"}\n', r"a.jsonl:1: .*got 'a\\tb'.*without tabs and line ends"),
        ("a.csv", 'label,text\n"a\nb",x\n', r"a.csv:2: expected a label .*without tabs and line ends"),
        ("a.jsonl", '{"label": "a", "text": "x\\ud83d"}\n', r"a.jsonl:1: expected Unicode .* column text, got '.ud8"),
        ("a.jsonl", '{"label": ["a", "\\ude00"], "text": "x"}\n', r"a.jsonl:1: expected Unicode text in column label"),
        ("a.csv", "label,text,text\ngood,x,y\n", r"a.csv:1: expected one column text, got label, text, text: rename"),
        ("a.jsonl", '{"label": "a"}\n', r"a.jsonl:1: expected a column text, got label"),
        ("a.jsonl", '{"label": "a"\n', r"a.jsonl:1: expected a JSON object a line, got: "),
        ("a.jsonl", "1\n", r"a.jsonl:1: expected JSON objects, one a line or in an array, got 1"),
        ("a.csv", b"label,text\na,\xff\n", r"a.csv:2: expected UTF-8 text, got the byte 0xff"),
        ("a.txt", "label,text\na,b\n", r"a.txt: expected a file that ends in .csv"),
    ],
    ids=str,
)
def test_a_file_that_is_not_a_table_is_explained(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=message):
        read(tmp_path / name)


def test_a_list_of_labels_that_are_none_needs_no_flag_that_is_set(tmp_path):
    path = write(tmp_path / "a.jsonl", [(["x", 0.5], "a")])
    with pytest.raises(DataError, match=r"a.jsonl:1: expected a label in column label, got \['x', 0.5\]") as caught:
        read(path, multi_label=True)
    assert "multi_label" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match="nowhere.csv: expected a file to read"):
        read(tmp_path / "nowhere.csv")


# -------------------------------------------------------------------------------------------- datamodule


@pytest.fixture
def files(tmp_path) -> dict[str, str]:
    return {split: str(write(tmp_path / f"{split}.csv")) for split in ("train", "dev", "test")}


@pytest.mark.parametrize(
    "labels, message",
    [
        (["a", "b", "a|b"], "train.csv:4: a|b is read as one label. This concerns 1 of 3 texts"),
        (["a|b", "c", "c| a"], "train.csv:2: a|b is read as one label. This concerns 2 of 3 texts"),
        (["R|D", "R|D", "ops"], None),
    ],
    ids=str,
)
def test_labels_that_look_like_lists_cause_a_hint(labels, message, tmp_path):
    path = str(write(tmp_path / "train.csv", [(label, "some text") for label in labels]))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert list(ClassificationDataModule(train=path).codec.labels) == sorted(set(labels))
        write(tmp_path / "train.csv", [(label, "some text") for label in ["", *labels]])
        assert "a|b" not in ClassificationDataModule(train=path, multi_label=True).codec.labels
    assert [message in str(warning.message) for warning in caught] == [True] * (message is not None)
    assert all("--data.multi_label true" in str(warning.message) for warning in caught)


def test_own_files(files):
    data = ClassificationDataModule(**files, min_count=1, max_length=3)
    assert list(data.codec.labels) == ["bad", "good"]
    with pytest.warns(UserWarning, match="1 texts of train are empty"):
        data.setup("fit")
    assert data.counts("train") == (4, 1, 2)
    batches = list(data.train_dataloader())
    gold = {int(row): int(label) for batch in batches for row, label in zip(batch.rows, batch.gold, strict=True)}
    assert gold == {0: 1, 1: 0, 2: 1, 3: 0}
    assert sorted(n for batch in batches for n in batch.inputs.lengths.tolist()) == [1, 2, 3, 3]


@pytest.mark.parametrize("label", ["<pad>", "<unk>", "<s>", "<unseen>"])
@pytest.mark.parametrize("multi_label", [False, True])
def test_a_label_may_be_spelled_like_a_special_entry(tmp_path, label, multi_label):
    path = str(write(tmp_path / "a.csv", [(label, "a film"), ("good", "a day"), (label, "b")]))
    data = ClassificationDataModule(train=path, dev=path, multi_label=multi_label)
    data.setup("fit")
    assert list(data.codec.labels) == [label, "good"]
    gold = [(row, ids) for batch in data.val_dataloader() for row, ids in zip(batch.rows, batch.gold, strict=True)]
    expected = [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]] if multi_label else [0, 1, 0]
    assert {int(row): ids.tolist() for row, ids in gold} == dict(enumerate(expected))
    model = TextClassifier(data.codec, hidden_size=2)
    assert set(model.predict(["a film"])[0]["probabilities"]) == {label, "good"}
    test = str(write(tmp_path / "b.csv", [("bad", "a film")]))
    with pytest.raises(DataError, match="b.csv:2: expected one of the labels"):
        ClassificationDataModule(train=path, test=test).setup("test")


def test_vocabularies_come_from_train_alone(files, tmp_path):
    files["dev"] = str(write(tmp_path / "other.csv", [("good", "unheard")]))
    data = ClassificationDataModule(**files, min_count=1)
    data.setup("fit")
    known = data.codec.vocabulary
    assert "unheard" not in known and "film" in known and "Film" not in known
    assert next(iter(data.val_dataloader())).inputs.word_ids.tolist() == [[1]]


def test_a_vocabulary_may_be_bounded_to_its_most_frequent_tokens(tmp_path):
    path = str(write(tmp_path / "a.csv", [("good", "a b a c"), ("bad", "b a d")]))
    data = ClassificationDataModule(train=path, min_count=1, vocabulary_size=2)
    assert list(data.codec.vocabulary) == ["<pad>", "<unk>", "a", "b"]
    assert len(ClassificationDataModule(train=path, min_count=1).codec.vocabulary) == 6
    with pytest.raises(DataError, match="--data.vocabulary_size: expected at least 1 token, got 0"):
        ClassificationDataModule(train=path, vocabulary_size=0)


def test_the_positive_label_is_one_of_two(files):
    assert ClassificationDataModule(**files).codec.positive == "good"
    assert ClassificationDataModule(**files, positive="bad").codec.positive == "bad"
    with pytest.raises(ZooError, match="unknown positive label 'godo': did you mean 'good'"):
        ClassificationDataModule(**files, positive="godo").codec  # noqa: B018


@pytest.mark.parametrize("tokenizer", ["words", "sentencepiece"])
@pytest.mark.parametrize("lowercase", [False, True])
def test_capitals_are_learned_unless_tokens_are_looked_up_in_lower_case(lowercase, tokenizer):
    size = 300 if tokenizer == "sentencepiece" else "by_tokenizer"
    codec = ClassificationDataModule(tokenizer=tokenizer, vocabulary_size=size, lowercase=lowercase, min_count=1).codec
    learned = SentencePieceModel(codec.sentencepiece_model).pieces if codec.sentencepiece_model else codec.vocabulary
    for tokens in (learned, codec.vocabulary):
        assert any(token != token.lower() for token in tokens) != lowercase


@pytest.mark.parametrize("multi_label, expected", [(True, [("x", "y"), ("y",)]), (False, [("x|y",), ("y",)])])
def test_a_codec_says_whether_a_text_has_several_labels(multi_label, expected, tmp_path):
    codec = ClassificationCodec(["<pad>", "<unk>"], ["x", "y"], multi_label=multi_label)
    path = str(write(tmp_path / "a.csv", [("x|y", "a"), ("y", "b")]))
    data = ClassificationDataModule(test=path, multi_label=not multi_label, codec=codec)
    assert [text.labels for text in data.texts("test")] == expected


@pytest.mark.parametrize("tokenizer", ["words", "whitespace", "characters", "sentencepiece"])
def test_data_and_model_read_the_same_tokens(tokenizer):
    options = dict(stop_words="chinese")
    if tokenizer == "sentencepiece":
        options = dict(vocabulary_size=800)
    data = ClassificationDataModule("sample-reviews-zh", tokenizer=tokenizer, max_length=10, truncate="both", **options)
    data.setup("test")
    model = TextClassifier(data.codec, hidden_size=4).eval()
    found = torch.tensor(
        [list(r["probabilities"].values()) for r in model.predict([t.text for t in data.texts("test")])]
    )
    other = ClassificationDataModule("sample-reviews-zh", codec=model.codec)
    other.setup("test")
    for batch in (*data.test_dataloader(), *other.test_dataloader()):
        scores = model(batch.inputs)
        torch.testing.assert_close(model.probabilities(scores), found[batch.rows], atol=1e-5, rtol=0)


@pytest.mark.parametrize("tokenizer", ["words", "characters", "sentencepiece"])
def test_a_text_of_100000_words_takes_seconds(tmp_path, tokenizer):
    rows = [("good", "lovely film " * 50_000), ("bad", "a dull film"), ("bad", "无聊的电影" * 20_000)]
    path = str(write(tmp_path / "a.csv", rows))
    data = ClassificationDataModule(train=path, tokenizer=tokenizer, vocabulary_size=30)
    started = time.process_time()
    assert data.counts("train") == (3, 0, 2)
    model = TextClassifier(data.codec, hidden_size=2)
    results = model.predict([text for _, text in rows])
    assert [set(result["probabilities"]) for result in results] == [{"good", "bad"}] * 3
    assert len(data.codec.vocabulary) > 6  # no text was left out of what was learned
    assert time.process_time() - started < 20


def test_parquet_values_that_are_not_text_are_named(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    broken = arrow.array([b"fine", b"\xe9"]).view(arrow.string())
    parquet.write_table(arrow.table({"label": ["a", "b"], "text": broken}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="a.parquet: expected texts and labels after row 0, got: .*utf-8"):
        read(tmp_path / "a.parquet")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_stop_words_from_a_list_or_a_file(encoding, tmp_path):
    (tmp_path / "stop.txt").write_text("Film\nreally\n", encoding=encoding)
    path = str(write(tmp_path / "a.csv"))
    data = ClassificationDataModule(train=path, stop_words=str(tmp_path / "stop.txt"), min_count=1)
    assert data.codec.stop_words == ("film", "really")
    assert "film" not in data.codec.vocabulary and "fine" in data.codec.vocabulary
    named = ClassificationDataModule(train=path, stop_words="english", min_count=1)
    with pytest.warns(UserWarning, match="2 of 2 stop words, film for example, are not left out: the tokenizer charac"):
        ClassificationDataModule(train=path, stop_words=str(tmp_path / "stop.txt"), tokenizer="characters")
    with pytest.raises(ZooError, match="unknown tokenizer 'word': did you mean 'words'"):
        ClassificationDataModule(train=path, stop_words="english", tokenizer="word").setup("fit")
    known = named.codec.vocabulary
    assert "a" not in known and "no" in known  # a negation is no stop word


def test_balance_increases_the_weight_of_rare_labels(tmp_path):
    path = str(write(tmp_path / "a.csv", [("ham", "a"), ("ham", "b"), ("ham", "c"), ("spam", "d")]))
    assert ClassificationDataModule(train=path, balance=True).class_weights == pytest.approx([4 / 6, 2.0])
    assert ClassificationDataModule(train=path).class_weights == []
    assert ClassificationDataModule(train=path, class_weights=[0.5, 2.0]).class_weights == [0.5, 2.0]
    with pytest.raises(DataError, match="leave one of them out"):
        ClassificationDataModule(train=path, balance=True, class_weights=[0.5, 2.0])


def test_balance_lets_having_a_label_count_as_much_as_not_having_it(tmp_path):
    path = str(write(tmp_path / "a.csv", [("x|y", "a"), ("x", "b"), ("", "c"), ("y|x", "d"), ("z|x", "e")]))
    data = ClassificationDataModule(train=path, multi_label=True, balance=True)
    assert list(data.codec.labels) == ["x", "y", "z"] and data.class_weights == pytest.approx([1 / 4, 3 / 2, 4 / 1])


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(dataset="sst3"), "sst2.*--data.train FILE"),
        (dict(dataset="sample-en"), "sample-en is a corpus for tagging. Corpora for classification are .*sst2"),
        (dict(dataset="sample-reviews-en", text_column="review"), "expected a column review, got label, text"),
        (dict(format="xls"), "known are csv, fasttext, jsonl, parquet, tsv, xlsx"),
        (dict(max_tokens=0), "a whole number from 1, got 0"),
        (dict(vectors="nowhere.txt"), "nowhere.txt"),
    ],
    ids=str,
)
def test_unusable_options_are_explained(options, message):
    def read() -> None:
        data = ClassificationDataModule(**options)
        data.texts("train")
        data.codec  # noqa: B018

    with pytest.raises(DataError, match=message):
        read()


def test_a_tagging_datamodule_refuses_a_corpus_of_texts():
    with pytest.raises(DataError, match="for classification. Corpora for tagging are .*ud-en-ewt"):
        TaggingDataModule("sample-spam").sentences("train")


@pytest.mark.parametrize("given", [dict(stop_words="english"), dict(vectors="v.txt")], ids=str)
def test_pieces_of_words_have_no_stop_words_and_no_vectors(given):
    with pytest.raises(ValueError, match="belong to words, but sentencepiece splits words"):
        ClassificationDataModule(tokenizer="sentencepiece", **given)


def test_stop_words_that_are_nowhere():
    with pytest.raises(ValueError, match="english, chinese or a file"):
        ClassificationDataModule(stop_words="klingon")


def test_labels_that_there_is_nothing_to_choose_between(files, tmp_path):
    files["train"] = str(write(tmp_path / "one.csv", [("good", "a"), ("good", "b")]))
    with pytest.raises(DataError, match="one.csv: expected at least two different labels, got only good"):
        ClassificationDataModule(**files).setup("fit")


def test_a_label_outside_the_known_set_is_named_with_its_line(files, tmp_path):
    files["dev"] = str(write(tmp_path / "odd.csv", [("good", "a"), ("odd", "b")]))
    with pytest.raises(DataError, match="odd.csv:3: expected one of the labels bad, good, got odd"):
        ClassificationDataModule(**files).setup("fit")


def test_pieces_that_cannot_be_learned():
    with pytest.raises(
        ValueError, match="3 pieces are fewer than this text has characters: .* is the smallest possible number"
    ):
        ClassificationDataModule(tokenizer="sentencepiece", vocabulary_size=3).setup("fit")


def test_a_missing_split_names_its_flag(files):
    del files["test"]
    data = ClassificationDataModule(**files)
    assert data.splits == ("train", "dev")
    with pytest.raises(DataError, match="--data.test FILE"):
        data.setup("test")


def test_vectors_reach_the_model_before_training(tmp_path):
    path = tmp_path / "v.txt"
    path.write_text("the 1 2\nof 3 -4\n", encoding="utf-8")
    data = ClassificationDataModule("sample-reviews-en", vectors=str(path))
    model = TextClassifier(data.codec, hidden_size=4)
    quiet = dict(
        max_steps=1, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    pl.Trainer(**quiet).fit(model, data)
    expected = torch.tensor([[1.0, 2.0], [3.0, -4.0]])
    torch.testing.assert_close(model.embedding.vectors.weight[2:], expected / expected.std())
    model.embedding.vectors.weight.data[2:] = 7.0  # as if they had been tuned
    for learned in (model, from_pretrained(model.save_pretrained(tmp_path / "m"))):
        pl.Trainer(**quiet).fit(learned, data)
        assert learned.embedding.vectors.weight[2:].eq(7.0).all()


# ----------------------------------------------------------------------------------------------- corpora


@pytest.mark.parametrize("name", ["sample-reviews-en", "sample-reviews-zh", "sample-spam", "sample-topics"])
def test_no_sample_text_is_in_two_splits(name):
    data = ClassificationDataModule(name)
    texts = [text.text for split in ("train", "dev", "test") for text in data.texts(split)]
    assert len(set(texts)) == len(texts)
    assert {text.labels[0] for text in data.texts("test")} == set(data.codec.labels)


def test_a_corpus_of_one_file_is_split_by_its_texts():
    texts = [f"text {i} " for i in range(200)]
    content = "Label\tSMS\n" + "".join(f"ham\t{text}\r\nspam\t{text}\n" for text in texts) + "ham\t\n"
    dealt = {split: preparation.sms_spam_split(content.encode(), split).decode() for split in ("train", "dev", "test")}
    rows = [line for part in dealt.values() for line in part.splitlines()]
    assert sorted(rows) == sorted(f"ham\t{text}" for text in texts)  # repeats and the empty text are dropped
    assert dealt["dev"] and dealt["test"] and len(dealt["train"]) > len(dealt["dev"]) + len(dealt["test"])
    changed = preparation.sms_spam_split(content.replace("text 7 ", "new").encode(), "train").decode()
    assert set(dealt["train"].splitlines()) - {"ham\ttext 7 "} <= set(changed.splitlines())


real = pytest.mark.skipif("ZOO_DATA" not in os.environ, reason="needs the real corpora")


@real
@pytest.mark.parametrize(
    "name, sizes, labels",
    [("sst2", (6920, 872, 1821), 2), ("shopping-zh", (50200, 6282, 6241), 2), ("sms-spam", (4149, 518, 504), 2)],
)
def test_real_corpora(name, sizes, labels):
    data = ClassificationDataModule(name)
    assert tuple(len(data.texts(split)) for split in ("train", "dev", "test")) == sizes
    assert len(data.codec.labels) == labels
    if name == "shopping-zh":
        assert len(ClassificationDataModule(name, label_column="cat").codec.labels) == 10


@real
def test_the_published_files_give_the_splits_byte_for_byte():
    reviews = {split: path.read_bytes() for split, path in locate("shopping-zh").items()}
    whole = reviews["train"] + b"".join(reviews[split].split(b"\r\n", 1)[1] for split in ("dev", "test"))
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as target:
        target.writestr("reviews.csv", whole)
    messages = {split: path.read_bytes() for split, path in locate("sms-spam").items()}
    for split in ("train", "dev", "test"):
        made = CATALOG["shopping-zh"].splits[split].convert(archive.getvalue())
        assert made == reviews[split]
        assert (
            CATALOG["sms-spam"].splits[split].convert(b"Label\tSMS\n" + b"".join(messages.values())) == messages[split]
        )
