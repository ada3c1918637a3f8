"""`predict` reads what training reads, and answers beside the input's columns."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
import warnings
from pathlib import Path

import openpyxl
import pyarrow
import pytest
from command_line import run
from pyarrow import parquet

from datamodules.readers.tables import CELL_FORMATS
from recipes import ner, pos_tagging, sentiment, spam, translation
from recipes.prediction.command import prediction_parser
from recipes.prediction.inputs import Source
from zoo import Seq2Seq, SequenceTagger, TextClassifier
from zoo.codecs import ClassificationCodec, Seq2SeqCodec, TaggingCodec
from zoo.errors import ZooError
from zoo.models.options import CharacterOptions

WORDS = ["<pad>", "<unk>", "fine", "dull", "a"]
ROWS = [("1", "fine, a film", "yes"), ("2", "dull\na bit", "no"), ("3", "a", "no")]
NAMES = ("id", "review", "label")
TAGGER_SIZES = dict(hidden_size=4, embedding_size=4, characters=CharacterOptions(output_size=0))
TOKENS = [["a", "fine"], ["dull"], ["fine", "a", "a"]]


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("models")
    made = {
        "classifier": TextClassifier(ClassificationCodec(WORDS, ["no", "yes"]), hidden_size=4, embedding_size=4),
        "tagger": SequenceTagger(TaggingCodec(WORDS, WORDS[:2], ["NOUN", "VERB"]), **TAGGER_SIZES),
        "writer": Seq2Seq(
            Seq2SeqCodec(["<pad>", "<unk>", "<s>", "</s>", "a"], tokenizer="words"),
            encoder_size=4,
            decoder_size=4,
            embedding_size=4,
        ),
    }
    return {name: str(model.save_pretrained(folder / name)) for name, model in made.items()}


def write(path: Path, format: str, rows: list[dict]) -> None:
    """A table in one of the formats."""
    if format == "parquet":
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif format == "jsonl":
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    elif format == "xlsx":
        book = openpyxl.Workbook()
        for row in (list(rows[0]), *(list(row.values()) for row in rows)):
            book.active.append(row)
        book.save(path)
    else:
        content = io.StringIO()
        table = csv.DictWriter(content, list(rows[0]), delimiter="," if format == "csv" else "\t", lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
        path.write_text(content.getvalue(), encoding="utf-8")


def rows_of(format: str) -> list[dict]:
    """The rows of a table; TSV has no line ends inside of a text."""
    rows = [dict(zip(NAMES, row, strict=True)) for row in ROWS]
    return (
        [{name: value.replace("\n", " ") for name, value in row.items()} for row in rows] if format == "tsv" else rows
    )


def predict(recipe, capsys, *args) -> list[str]:
    recipe.RECIPE.predict(recipe.RECIPE, [str(arg) for arg in args])
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("format", [*CELL_FORMATS, "jsonl", "parquet"])
def test_a_classifier_answers_beside_the_columns_of_a_table(models, tmp_path, capsys, format):
    path, rows = tmp_path / f"a.{format}", rows_of(format)
    write(path, format, rows)
    args = [path, "--model", models["classifier"], "--text_column=review"]
    found = [json.loads(line) for line in predict(sentiment, capsys, *args, "--format=jsonl")]
    expected = [json.loads(line) for line in _answers(models, tmp_path, capsys, [row["review"] for row in rows])]
    assert [{name: row[name] for name in NAMES} for row in found] == rows
    assert [row["predicted_label"] for row in found] == [row["label"] for row in expected]
    header, *lines = predict(sentiment, capsys, *args)
    assert header == "id\treview\tlabel\tpredicted_label\tno\tyes"
    assert [line.split("\t")[:4] for line in lines] == [
        [row["id"], " ".join(row["review"].split()), row["label"], row["predicted_label"]] for row in found
    ]


def _answers(models, tmp_path, capsys, texts):
    """What a table of one column gets."""
    write(tmp_path / "alone.jsonl", "jsonl", [{"text": text} for text in texts])
    return predict(spam, capsys, tmp_path / "alone.jsonl", "--model", models["classifier"], "--format=jsonl")


def test_a_column_is_chosen_as_in_the_training(models, tmp_path, capsys):
    (tmp_path / "run/model").parent.mkdir()
    Path(models["classifier"]).rename(tmp_path / "run/model")
    settings = (
        "data: {dataset: sample-spam, train: t.tsv, text_column: %s, header: %s}\ntrainer: {precision: 32-true}\n"
    )
    write(tmp_path / "a.tsv", "tsv", rows_of("tsv"))
    for column, header, count in ("review", "null", 3), ("1", "null", 4), ("1", "true", 3):
        (tmp_path / "run/config.yaml").write_text(settings % (column, header))
        args = [tmp_path / "a.tsv", "--model", tmp_path / "run", "--format=jsonl"]
        assert len(predict(sentiment, capsys, *args)) == count
    (tmp_path / "run/model").rename(models["classifier"])


def test_a_table_through_a_pipe_and_in_gzip(models, tmp_path, capsys):
    rows = rows_of("csv")
    write(tmp_path / "a.csv", "csv", rows)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress((tmp_path / "a.csv").read_bytes()))
    args = ["--model", models["classifier"], "--text_column=review"]
    plain = predict(sentiment, capsys, tmp_path / "a.csv", *args)
    assert predict(sentiment, capsys, tmp_path / "a.csv.gz", *args) == plain
    (tmp_path / "a.dat").write_bytes((tmp_path / "a.csv").read_bytes())
    assert predict(sentiment, capsys, tmp_path / "a.dat", *args, "--input_format=csv") == plain
    assert predict(sentiment, capsys, tmp_path / "a.csv", *args, "--batch_size=1", "--device=cpu") == plain
    half = predict(sentiment, capsys, tmp_path / "a.csv", *args, "--precision=bf16-mixed")
    assert [line.split("\t")[:3] for line in half] == [line.split("\t")[:3] for line in plain]


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("a.csv", "id,review\n1,a\n", "a.csv:2: expected a column text, got id, review. Choose with --text_column"),
        ("a.csv", 'text,id\n"a,1\n', "a.csv:2: expected CSV, got a quote that is opened here"),
        ("a.jsonl", '{"text": "a"}\n{"text": null}\n', "a.jsonl:2: expected a text in column text, got 'None'"),
        ("a.jsonl", '{"text": ["a"]}\n', "a.jsonl:1: expected a text in column text"),
        ("a.txt", '{"text": "a"}\n', "a.txt:1: .* what looks like jsonl.* --input_format jsonl"),
        ("a.jsonl", '{"text": "a"}\n{"text": "a", "b": 1}\n', "expected the columns text as in the first row, got b"),
    ],
)
def test_what_cannot_be_classified_is_named_with_its_line(models, tmp_path, capsys, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(ZooError, match=message):
        predict(sentiment, capsys, tmp_path / name, "--model", models["classifier"])
    predict(sentiment, capsys, tmp_path / name, "--model", models["classifier"], "--input_format=text")


def conllu(sentences: list[list[str]]) -> str:
    rows = "".join("".join(f"{i}\t{w}" + "\t_" * 8 + "\n" for i, w in enumerate(s, 1)) + "\n" for s in sentences)
    return "# sent_id = 1\n" + rows


def columns(sentences: list[list[str]]) -> str:
    return "".join("".join(f"{word} VERB\n" for word in sentence) + "\n" for sentence in sentences)


@pytest.mark.parametrize(
    "name, content",
    [
        ("a.conllu", conllu(TOKENS)),
        ("a.tsv", columns(TOKENS).replace(" ", "\t")),
        ("a.bio", columns(TOKENS)),
        ("a.jsonl", "".join(json.dumps({"tokens": tokens}) + "\n" for tokens in TOKENS)),
        ("a.ndjson", "".join(json.dumps({"n": 1, "text": " ".join(tokens)}) + "\n" for tokens in TOKENS)),
        ("a.csv", "n,text\n" + "".join(f"1,{' '.join(tokens)}\n" for tokens in TOKENS)),
        ("a.txt", "".join(" ".join(tokens) + "\n" for tokens in TOKENS)),
    ],
    ids=lambda value: value if value.startswith("a.") else "",
)
def test_a_tagger_reads_the_same_sentences_from_all_formats(models, tmp_path, capsys, name, content):
    (tmp_path / name).write_text(content)
    lines = predict(pos_tagging, capsys, tmp_path / name, "--model", models["tagger"], "--format=tsv")
    assert [line.split("\t")[0] for line in lines] == [word for tokens in TOKENS for word in (*tokens, "")]
    rows = predict(pos_tagging, capsys, tmp_path / name, "--model", models["tagger"], "--format=jsonl")
    assert [json.loads(row)["tokens"] for row in rows] == TOKENS
    tags = [line.split("\t")[1] for line in lines if line]
    assert [tag for row in rows for tag in json.loads(row)["tags"]] == tags


@pytest.mark.parametrize("name", ["a.txt", "a", "a.text"])
@pytest.mark.parametrize(
    "content, format",
    [
        (conllu(TOKENS), "conllu"),
        (conllu(TOKENS).partition("\n")[2], "conllu"),
        (columns(TOKENS), "columns"),
        (columns(TOKENS).replace(" ", "\t"), "columns"),
        (json.dumps({"tokens": ["a"]}) + "\n", "jsonl"),
    ],
)
def test_lines_that_are_not_texts_are_not_tagged_as_texts(models, tmp_path, capsys, monkeypatch, name, content, format):
    (tmp_path / name).write_text(content)
    args = ["--model", models["tagger"], "--format=jsonl"]
    with pytest.raises(ZooError, match=f"--input_format {format}"):
        predict(pos_tagging, capsys, tmp_path / name, *args)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
    with pytest.raises(ZooError, match=f"--input_format {format}"):
        predict(pos_tagging, capsys, *args)
    assert predict(pos_tagging, capsys, tmp_path / name, *args, f"--input_format={format}")
    assert len(predict(pos_tagging, capsys, tmp_path / name, *args, "--input_format=text")) == content.count("\n")


def test_gold_tags_stay_beside_those_of_a_tagger(models, tmp_path, capsys):
    rows = [{"id": 7, "tokens": ["a", "fine"], "tags": ["X", "Y"], "score": float("nan")}]
    write(tmp_path / "a.jsonl", "jsonl", rows)
    (line,) = predict(pos_tagging, capsys, tmp_path / "a.jsonl", "--model", models["tagger"])
    row = json.loads(line, parse_constant=lambda name: pytest.fail(name))
    assert row.pop("predicted_tags") and row == {**rows[0], "score": None}


@pytest.mark.parametrize("format", [*CELL_FORMATS, "jsonl", "parquet"])
def test_a_translator_answers_beside_the_columns_of_a_table(models, tmp_path, capsys, format):
    rows = [{"id": row["id"], "source": row["review"]} for row in rows_of(format)]
    write(tmp_path / f"a.{format}", format, rows)
    args = [tmp_path / f"a.{format}", "--model", models["writer"], "--max_length=3"]
    found = [json.loads(line) for line in predict(translation, capsys, *args)]
    assert [{"id": row["id"], "source": row["source"]} for row in found] == rows
    assert predict(translation, capsys, *args, "--format=text") == [row["output"] for row in found]


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--device=abc"], "--device abc: expected a device of this machine"),
        (["--device=cuda:99"], "--device cuda:99: expected a device of this machine"),
        (["--batch_size=0"], "--batch_size of at least 1"),
    ],
)
@pytest.mark.parametrize("recipe, model", [(sentiment, "classifier"), (pos_tagging, "tagger"), (translation, "writer")])
def test_what_no_machine_can_do_is_refused(models, tmp_path, capsys, recipe, model, flags, message):
    (tmp_path / "a.txt").write_text("a\n")
    with pytest.raises(ZooError, match=message):
        predict(recipe, capsys, tmp_path / "a.txt", "--model", models[model], *flags)


def test_rows_are_read_as_they_are_asked_for(tmp_path):
    """A reader that would read all at once would not stop at the first row."""
    (tmp_path / "a.csv").write_text("text\n" + "a\n" * 3 + '"\n')
    items = Source(str(tmp_path / "a.csv"), "csv").items()
    assert next(items).content == "a"


@pytest.mark.parametrize(
    "recipe, model, text, strange",
    [
        (ner, "ner-zh-resume", "John Smith lives in London.", True),
        (ner, "ner-zh-resume", "王珺珊女士，中国国籍", False),
        (ner, "ner-zh-resume", "12 345", False),
        (pos_tagging, "pos-en-ewt", "王珺珊女士，中国国籍", True),
        (pos_tagging, "pos-en-ewt", "I saw her duck .", False),
        (translation, "translate-en-de-multi30k", "A dog runs.", False),
    ],
)
def test_a_bundled_model_says_what_it_is_for_where_the_text_is_of_another_script(
    tmp_path, capsys, recipe, model, text, strange
):
    (tmp_path / "a.txt").write_text(text + "\n", encoding="utf-8")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        predict(recipe, capsys, tmp_path / "a.txt")
    said = [str(one.message) for one in caught if "was trained on" in str(one.message)]
    assert len(said) == strange and all(said_of.startswith(model) for said_of in said)


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--format=xml"], r"--format: expected one of \['tsv', 'jsonl', 'html'\], got xml"),
        (["--batch_size=many"], "--batch_size: expected int, got many|--batch_size: expected int. Got value: many"),
        (["--formatt=tsv"], "unrecognized arguments: --formatt=tsv\nknown flags like --formatt: --format"),
        (["--forma=tsv"], "unrecognized arguments: --forma=tsv"),
        (["one.txt", "two.txt"], "unrecognized arguments: two.txt"),
    ],
)
def test_a_wrong_flag_of_predict_is_explained_as_one_of_training_is(flags, message):
    with pytest.raises(ZooError, match=message):
        sentiment.RECIPE.predict(sentiment.RECIPE, flags)


def test_a_column_is_a_text_even_if_it_is_a_number():
    parser = prediction_parser(sentiment.RECIPE, "", "", ("tsv", "jsonl"))
    options = parser.parse_args(["2", "--text_column=1", "--header=true", "--overwrite"])
    assert (options.input, options.text_column, options.header, options.overwrite) == ("2", "1", True, True)


def test_a_tagger_explains_the_tag_of_each_token(trained, tmp_path):
    args = ["predict", "--model", str(trained / "model"), "--explain=occlusion"]
    printed = run("pos_tagging", *args, cwd=tmp_path, text="I saw her .\n\n").stdout
    first, empty = map(json.loads, printed.splitlines())
    assert [one["target"] for one in first["explanations"]] == first["tags"] and empty["explanations"] == []
    assert [one["position"] for one in first["explanations"]] == [0, 1, 2, 3]
    page = run("pos_tagging", *args, "--format=html", cwd=tmp_path, text="I saw her .\n\n").stdout
    assert page.count("<article>") == 2 and page.count(">saw</span>") == 4


def test_a_translator_explains_each_word_of_its_output(tmp_path):
    text = "A dog runs.\n\nA man sleeps. A dog runs.\n"
    args = ["predict", "--explain=input_x_gradient"]
    printed = run("translation", *args, cwd=tmp_path, text=text).stdout
    one, empty, two = map(json.loads, printed.splitlines())
    for row in (one, two):
        assert " ".join(explanation["target"] for explanation in row["explanations"]) == row["output"]
    assert empty["explanations"] == [] and len(one["explanations"][0]["tokens"]) < 6
    done = run("translation", *args, "--sample", cwd=tmp_path, text=text, fails=True)
    assert "leave --sample, --n_best and --offsets out" in done.stderr
