"""`validate` and `test`: a model is scored on its own corpus, or on one that is named, and never on another unasked."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from datamodules import DataError, TaggingDataModule
from recipes import pos_tagging, sentiment, spam
from recipes.reports.json_text import json_text
from recipes.reports.tables import print_scores
from recipes.runner.evaluation import evaluate
from recipes.runner.origins import Origin, origin_of
from recipes.runner.training import train
from zoo import SequenceTagger, TextClassifier, list_pretrained
from zoo.codecs import ClassificationCodec, TaggingCodec
from zoo.errors import ZooError
from zoo.models.options import CharacterOptions

FLAGS = ["--trainer.accelerator=cpu", "--trainer.precision=32-true"]
TINY = ["--model.hidden_size=4", "--model.embedding_size=4", "--trainer.max_epochs=1", *FLAGS]


def refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def tables(folder: Path) -> list[str]:
    """Flags that name a table of one's own for each split."""
    rows = [("good", "a fine film"), ("bad", "a dull film"), ("good", "fine"), ("bad", "so dull")] * 5
    content = "stars\treview\n" + "".join(f"{label}\t{text}\n" for label, text in rows)
    for split in ("train", "dev", "test"):
        (folder / f"{split}.tsv").write_text(content, encoding="utf-8")
    columns = ["--data.text_column=review", "--data.label_column=stars"]
    return [*columns, *(f"--data.{split}={folder / split}.tsv" for split in ("train", "dev", "test"))]


@pytest.fixture(scope="module")
def moved(tmp_path_factory) -> Path:
    """The folder of a run, which stands elsewhere now."""
    folder = tmp_path_factory.mktemp("run")
    quiet = "--trainer.enable_progress_bar=false"
    train(
        sentiment.RECIPE, ["--out", str(folder / "run"), quiet, "--wandb=disabled", *TINY, *tables(folder)], test=True
    )
    return (folder / "run").rename(folder / "elsewhere")


def small(**options) -> TextClassifier:
    return TextClassifier(
        ClassificationCodec(["<pad>", "<unk>", "you"], ["ham", "spam"]), hidden_size=2, embedding_size=2, **options
    )


@pytest.mark.parametrize("part", [".", "model", "checkpoints/best.ckpt", "checkpoints/../model"])
def test_a_run_is_scored_on_its_own_data_wherever_its_folder_stands(moved, capsys, part):
    evaluate(sentiment.RECIPE, ["--model", str(moved / part), *FLAGS], "test")
    printed = capsys.readouterr()
    assert json.loads(printed.out) == pytest.approx(json.loads((moved / "metrics.json").read_text())["scores"])
    assert printed.err.splitlines()[0].endswith(f"on {moved.parent / 'test.tsv'}")


@pytest.mark.parametrize("name", list_pretrained())
def test_a_bundled_model_is_scored_on_the_corpus_of_its_card(name):
    settings = origin_of(name).settings(None, {})
    assert settings == {f"data.{key}": value for key, value in list_pretrained()[name]["data"].items()}
    assert not settings["data.dataset"].startswith("sample")


def test_a_model_with_a_card_is_scored_on_its_corpus(tmp_path, capsys):
    folder = small().save_pretrained(tmp_path / "m")
    card = {"data": {"dataset": "sample-spam", "label_column": "label"}}
    assert origin_of(str(folder)) == Origin()
    (folder / "card.json").write_text(json.dumps(card))
    assert origin_of(str(folder)) == Origin(card["data"])
    (folder / "card.json").write_text('{"data": 3}')
    with pytest.raises(ZooError, match="card.json: expected a card"):
        origin_of(str(folder))


def test_a_model_without_a_known_corpus_needs_one_named(tmp_path, capsys):
    folder = str(small().save_pretrained(tmp_path / "m"))
    for command, split in ("test", "test"), ("validate", "dev"):
        with pytest.raises(ZooError, match=rf"--data.dataset NAME, or a file with --data.{split} FILE"):
            evaluate(spam.RECIPE, ["--model", folder], command)
        evaluate(spam.RECIPE, ["--model", folder, "--data.dataset=sample-spam", *FLAGS], command)
        assert f"m on sample-spam {split}" in capsys.readouterr().err.splitlines()[0]
    tables(tmp_path)
    columns = ["--data.text_column=review", "--data.label_column=stars"]
    with pytest.raises(ZooError, match="test.tsv:2: expected one of the labels ham, spam, got good"):
        evaluate(spam.RECIPE, ["--model", folder, "--data.test", str(tmp_path / "test.tsv"), *columns], "test")


@pytest.mark.parametrize(
    "data, dataset, files, kept",
    [
        ({"dataset": "a", "label_column": "cat"}, None, {}, True),
        ({"dataset": "a", "label_column": "cat"}, "a", {}, True),
        ({"dataset": "a", "label_column": "cat"}, "b", {}, False),
        ({"dataset": "a", "label_column": "cat"}, None, {"test": "t.csv"}, False),
        ({"dataset": "a", "train": "t.csv", "label_column": "cat"}, None, {"test": "t.csv"}, True),
        ({"dataset": "a", "train": "t.csv", "label_column": "cat"}, "a", {}, False),
    ],
)
def test_another_corpus_needs_its_column_named(data, dataset, files, kept):
    settings = Origin(data, "32-true").settings(dataset, files)
    assert settings.pop("trainer.precision") == "32-true"
    assert settings == ({f"data.{name}": value for name, value in data.items()} if kept else {})


POS = ["NOUN", "VERB", "SYM", "PUNCT"]
SPANS = ["O", "B-PER", "I-PER"]


@pytest.mark.parametrize(
    "known, gold, refused",
    [
        (POS, ["NN", "VB", "NN"], True),
        (POS, ["NN", "VB", "SYM"], True),  # a tag that both sets happen to have
        (POS, ["NOUN", "VERB", "X"], False),
        (SPANS, ["O", "B-ORG", "I-ORG", "O", "O"], True),  # which all sets of span tags have
        (SPANS, ["O", "B-PER", "B-ORG", "O", "O"], False),
        (SPANS, ["O", "O"], False),
        (POS, ["O", "O"], True),
    ],
)
@pytest.mark.filterwarnings("ignore:.*tags that are not in train")
def test_gold_tags_unknown_to_the_model_are_refused(tmp_path, known, gold, refused):
    path = tmp_path / "test.txt"
    path.write_text("".join(f"a {tag}\n" for tag in gold) + "\n")
    codec = TaggingCodec(["<pad>", "<unk>"], ["<pad>", "<unk>"], known)
    data = TaggingDataModule(test=str(path), format="columns", codec=codec)
    if not refused:
        data.setup("test")
        return
    with pytest.raises(DataError, match="test has the tags .*, but the model was trained on .*--data.column"):
        data.setup("test")


def test_scores_that_are_not_numbers_are_null(tmp_path, capsys):
    codec = TaggingCodec(["<pad>", "<unk>"], ["<pad>", "<unk>"], TaggingDataModule("sample-en").codec.tags)
    model = SequenceTagger(codec, hidden_size=2, characters=CharacterOptions(output_size=0))
    with torch.no_grad():
        model.head.weight.fill_(float("nan"))
    folder = str(model.save_pretrained(tmp_path / "m"))
    evaluate(pos_tagging.RECIPE, ["--model", folder, "--data.dataset=sample-en", *FLAGS], "test")
    assert json.loads(capsys.readouterr().out, parse_constant=refuse)["test/loss"] is None
    print_scores("title", {"test/loss": float("nan"), "test/f1": float("nan")}, file=sys.stdout)
    assert "nan" not in capsys.readouterr().out


@settings(max_examples=40)
@given(
    st.recursive(st.none() | st.floats() | st.text(), lambda some: st.lists(some) | st.dictionaries(st.text(), some))
)
def test_json_text_is_json_and_changes_nothing_else(value):
    again = json.loads(json_text(value), parse_constant=refuse)
    assert again == json.loads(json.dumps(value), parse_constant=lambda _: None)
