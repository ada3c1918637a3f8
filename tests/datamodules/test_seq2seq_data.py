"""The sequence-to-sequence datamodule: formats, tokenizers, buckets on both lengths, and what it refuses."""

from __future__ import annotations

import gzip
import hashlib
import io
import itertools
import json
import os
import tarfile
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given
from hypothesis import strategies as st

from datamodules import CATALOG, DataError, Seq2SeqDataModule
from datamodules.preparation import acl_titles_split, csl_split
from zoo import Seq2Seq, Seq2SeqSummarizer
from zoo.batches.bucketing import group_by_length
from zoo.models.options import POINTER_GENERATOR, AttentionOptions, OptimizerOptions, Seq2SeqRegularization
from zoo.text.reversible import SPECIALS

PAIRS = [
    ("Ein Hund bellt.", "A dog barks."),
    ("Die Katze schläft", "The cat sleeps"),
    ("\u2028 ist ein\u00a0Zeichen", "A 🙂"),
]
SIDES = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 20)), min_size=1, max_size=60)


def write(folder, kind: str, pairs=PAIRS):
    """The pairs as files; the arguments to read them."""
    for split in ("train", "dev", "test"):
        path = folder / f"{split}.{kind}"
        if kind == "tsv":
            path.write_text("de\ten\n" + "".join(f"{s}\t{t}\n" for s, t in pairs), encoding="utf-8")
        elif kind == "jsonl":
            path.write_text("".join(json.dumps({"de": s, "en": t}) + "\n" for s, t in pairs), encoding="utf-8")
        else:
            for place, language in enumerate(("de", "en")):
                text = "".join(f"{pair[place]}\n" for pair in pairs)
                (folder / f"{split}.{language}").write_text(text, encoding="utf-8")
    names = {s: str(folder / s) + ("" if kind == "parallel" else f".{kind}") for s in ("train", "dev", "test")}
    return {**names, "source": "de", "target": "en"}


@pytest.mark.parametrize("kind", ["tsv", "jsonl", "parallel"])
def test_own_files_in_every_format(tmp_path, kind):
    data = Seq2SeqDataModule(**write(tmp_path, kind), tokenizer="words")
    assert [tuple(pair) for pair in data.pairs("train")] == PAIRS
    turned = Seq2SeqDataModule(**{**write(tmp_path, kind), "source": "en", "target": "de"}, tokenizer="words")
    assert [tuple(pair)[::-1] for pair in turned.pairs("dev")] == PAIRS


def test_compressed_files(tmp_path):
    for language in ("de", "en"):
        (tmp_path / f"t.{language}.gz").write_bytes(gzip.compress(b"ein\nzwei\n"))
    data = Seq2SeqDataModule(train=str(tmp_path / "t"), source="de.gz", target="en.gz")
    assert [tuple(pair) for pair in data.pairs("train")] == [("ein", "ein"), ("zwei", "zwei")]


@pytest.mark.parametrize("common, names", [("t", "t.de t.en"), ("t_", "t_de t_en"), ("t", "t/de t/en.gz")])
def test_names_of_parallel_files(tmp_path, common, names):
    for name in names.split():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("ein\nzwei\n")
    data = Seq2SeqDataModule(train=str(tmp_path / common), source="de", target="en")
    assert [tuple(pair) for pair in data.pairs("train")] == [("ein", "ein"), ("zwei", "zwei")]
    with pytest.raises(DataError, match=r"t.*\.fr: expected a file of fr, .*nor .*fr or .*/fr.*--data.source"):
        Seq2SeqDataModule(train=str(tmp_path / common), source="fr", target="en").pairs("train")


@pytest.mark.parametrize("joint", [True, False])
@pytest.mark.parametrize("tokenizer", ["sentencepiece", "words", "characters"])
@pytest.mark.parametrize("algorithm", ["unigram", "bpe"])
def test_every_batch_spells_its_texts(joint, tokenizer, algorithm):
    data = Seq2SeqDataModule("sample-phrases", tokenizer=tokenizer, algorithm=algorithm, joint=joint, max_tokens=200)
    data.setup("fit")
    codec = data.codec
    assert bool(codec.target_words) != joint
    seen = []
    pairs = data.pairs("train")
    for batch in data.train_dataloader():
        source_ids, source_lengths = batch.inputs.source_ids, batch.inputs.source_lengths
        assert source_ids.shape[0] == 1 or source_ids.numel() + batch.target_ids.numel() <= 200
        assert batch.pairs is None
        for row, place in enumerate(batch.rows.tolist()):
            pair = pairs[place]
            pieces = [codec.source_words[i] for i in source_ids[row, : source_lengths[row]].tolist()]
            assert codec.indexer.source_tokenizer.join(pieces) == pair.source
            ids = batch.target_ids[row, : batch.target_lengths[row]].tolist()
            assert ids[-1] == SPECIALS.index("</s>")
            assert codec.indexer.text(ids[:-1], batch.inputs.unknown[row]) == pair.target
            seen.append(place)
    assert sorted(seen) == list(range(100))


def test_characters_that_sentencepiece_never_saw_are_kept():
    indexer = Seq2SeqDataModule("sample-phrases").codec.indexer
    text = "Ein 龘 🙂 und ein Ⅷ ﬁ\u3000：（）"
    pieces = indexer.source_tokenizer.split(text)
    assert indexer.source_tokenizer.join(pieces) == " ".join(text.split())
    assert not indexer.source_ids(pieces).unknown


@pytest.mark.parametrize("joint", [True, False])
def test_chinese_words_are_joined_without_spaces(tmp_path, joint):
    pytest.importorskip("jieba")
    pairs = [("我来到北京清华大学", "来到 Tsinghua 大学"), ("他用 Python 3.13 写 deep learning 程序。", "写程序")]
    data = Seq2SeqDataModule(**write(tmp_path, "tsv", pairs), tokenizer="jieba", joint=joint)
    data.setup("fit")
    (batch,) = data.train_dataloader()
    for row, place in enumerate(batch.rows.tolist()):
        pair = pairs[place]
        assert data.codec.indexer.source_tokenizer.join(read_of(batch, row, data.codec)) == pair[0]
        assert written_of(batch, row, data.codec) == pair[1]
    # A title begins with a word that stands within its text: one entry, which can be copied.
    words = data.codec.source_words
    assert "来到" in words and "▁来到" not in words


@pytest.mark.parametrize("tokenizer", ["sentencepiece", "words", "characters"])
def test_in_lower_case_a_title_can_be_copied(tmp_path, tokenizer):
    pairs = [("we study neural networks and NETWORKS", "Neural Networks"), ("a study of words", "Of Words")] * 5
    data = Seq2SeqDataModule(**write(tmp_path, "tsv", pairs), tokenizer=tokenizer, lowercase=True, max_tokens=10_000)
    data.setup("fit")
    words = data.codec.source_words[len(SPECIALS) :]
    assert not any(character.isupper() for piece in words for character in piece if piece[0] != "<")
    (batch,) = data.train_dataloader()
    for row, place in enumerate(batch.rows.tolist()):
        assert written_of(batch, row, data.codec) == pairs[place][1].lower()
        written = batch.target_ids[row, : batch.target_lengths[row] - 1]
        assert tokenizer == "sentencepiece" or torch.isin(written, batch.inputs.copy_ids[row]).all()


def read_of(batch, row: int, codec) -> list[str]:
    """The pieces of a source in a batch."""
    length = batch.inputs.source_lengths[row]
    return [codec.source_words[i] for i in batch.inputs.source_ids[row, :length].tolist()]


def written_of(batch, row: int, codec) -> str:
    """The text of a target in a batch, without its end."""
    ids = batch.target_ids[row, : batch.target_lengths[row] - 1].tolist()
    return codec.indexer.text(ids, batch.inputs.unknown[row])


@pytest.mark.parametrize("change", [dict(lowercase=True), dict(stop_words="german.txt"), dict(max_source=2)], ids=str)
@pytest.mark.parametrize("joint", [True, False])
def test_data_are_encoded_by_the_codec_that_they_are_given(tmp_path, monkeypatch, change, joint):
    monkeypatch.chdir(tmp_path)
    Path("german.txt").write_text("ein\ndie\n", encoding="utf-8")
    files = write(tmp_path, "tsv")
    fitted = Seq2SeqDataModule(**files, tokenizer="words", joint=joint, **change)
    other = Seq2SeqDataModule(test=files["test"], source="de", target="en", codec=fitted.codec)
    plain = Seq2SeqDataModule(**files, tokenizer="words", joint=joint)
    batches = []
    for data in (fitted, other, plain):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is cut
            data.setup("test")
        (batch,) = data.test_dataloader()
        batches.append(batch)
    assert other.codec is fitted.codec
    for ours, theirs in zip(batches[0].inputs[:-1], batches[1].inputs[:-1], strict=True):
        assert torch.equal(ours, theirs)
    assert torch.equal(batches[0].target_ids, batches[1].target_ids)
    read, as_before = batches[0].inputs.source_ids, batches[2].inputs.source_ids
    assert read.shape != as_before.shape or not torch.equal(read, as_before)


@pytest.mark.parametrize("joint", [True, False])
def test_stop_words_are_left_out_of_sources_alone(tmp_path, joint):
    (tmp_path / "stop.txt").write_text("ein\ndie\nthe\n", encoding="utf-8")
    options = dict(tokenizer="words", stop_words=str(tmp_path / "stop.txt"), joint=joint)
    data = Seq2SeqDataModule(**write(tmp_path, "tsv", [*PAIRS, ("Ein ein die", "The end")]), **options)
    with pytest.warns(UserWarning, match="1 sources of (train|dev) have only stop words"):
        data.setup("fit")
    words = data.codec.source_words
    assert "▁Ein" not in words and ("▁The" in words) == joint
    batches = {
        place: (batch, row) for batch in data.train_dataloader() for row, place in enumerate(batch.rows.tolist())
    }
    assert len(batches) == 4
    for place, expected in enumerate(
        [["▁Hund", "▁bellt", "."], ["▁Katze", "▁schläft"], ["▁ist", "▁Zeichen"], ["<unk>"]]
    ):
        batch, row = batches[place]
        assert read_of(batch, row, data.codec) == expected
        assert written_of(batch, row, data.codec) == data.pairs("train")[place].target


def test_vectors_reach_the_model_before_training(tmp_path):
    (tmp_path / "v.txt").write_text("the 1 2\nReturn 3 -4\n", encoding="utf-8")
    data = Seq2SeqDataModule("sample-phrases", tokenizer="words", vectors=str(tmp_path / "v.txt"))
    sizes = dict(embedding_size=4, encoder_size=4, decoder_size=4)
    model = Seq2Seq(data.codec, **sizes)
    trainer = pl.Trainer(max_steps=1, accelerator="cpu", logger=False, enable_checkpointing=False,
                         enable_progress_bar=False, enable_model_summary=False)  # fmt: skip
    trainer.fit(model, data)
    expected = torch.tensor([[1.0, 2.0], [3.0, -4.0]])
    torch.testing.assert_close(model.vectors.weight[2:], expected / expected.std())
    (first,) = (
        place
        for place, pair in enumerate(data.pairs("train"))
        if pair.source == "The glass fell to the floor and broke."
    )
    batch = data._encoded["train"].batch([first])
    assert batch.inputs.vector_ids.tolist() == [[2, 1, 1, 1, 2, 1, 1, 1, 1]]  # "The" by its lower case


@given(SIDES, st.integers(1, 300))
def test_groups_hold_both_sides_within_the_budget(lengths, budget):
    batches = group_by_length(lengths, budget)
    assert sorted(itertools.chain(*batches)) == list(range(len(lengths)))
    for rows in batches:
        assert len(rows) == 1 or taken(lengths, rows) <= budget
    for rows, after in itertools.pairwise(batches):  # none ends before it has to
        assert taken(lengths, [*rows, after[0]]) > budget


def taken(lengths: list[tuple[int, int]], rows: list[int]) -> int:
    """What a batch takes of the budget."""
    return len(rows) * sum(max(lengths[row][side] for row in rows) for side in (0, 1))


def test_most_positions_of_a_batch_are_unpadded():
    lengths = [(n, m) for n in range(5, 45) for m in range(3, 23)] * 3
    real = sum(map(sum, lengths))
    padded = sum(taken(lengths, rows) for rows in group_by_length(lengths, 2000))
    assert real / padded > 0.83  # sorted by source alone, it would be 0.79


def test_long_texts_are_cut_and_counted():
    data = Seq2SeqDataModule("sample-headlines", tokenizer="words", max_source=10, max_target=4)
    with pytest.warns(UserWarning, match="have more than max_") as caught:
        data.setup("validate")
    told = [str(warning.message) for warning in caught]
    assert any("sources of dev have more than max_source=10" in text for text in told)
    assert any("targets of dev have more than max_target=4" in text for text in told)
    batch = next(iter(data.val_dataloader()))
    assert batch.inputs.source_ids.shape[1] == 10 and batch.target_ids.shape[1] == 5


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(dataset="multi31k"), "multi30k"),
        (dict(dataset="sample-en"), "corpus for tagging. Corpora for seq2seq are .*sample-headlines"),
        (dict(dataset="sample-phrases", source="fr"), "has no fr: known are de, en"),
        (dict(tokenizer="word"), "did you mean 'words'"),
        (dict(unit="page"), "unknown unit 'page': known are sentence, text"),
        (dict(algorithm="ngram"), "known are bpe, unigram"),
        (dict(format="xml"), "known are csv, fasttext, jsonl, parallel"),
        (dict(vocabulary_size=50_000), r"50000 pieces are more than this text has: \d+ is the largest"),
        (dict(vocabulary_size=50_000, algorithm="bpe"), r"\d+ is the largest possible number"),
        (dict(vocabulary_size=50_000, tokenizer="words"), r"50000 words are more than .* \d+ is the largest"),
        (dict(vocabulary_size=20), r"20 pieces are fewer than .*: \d+ is the smallest"),
        (dict(max_tokens=0), "a whole number from 1, got 0"),
        (dict(max_source=0), "at least 1"),
        (dict(stop_words="english"), "stop words belong to words.*another tokenizer, words"),
        (dict(stop_words="klingon", tokenizer="words"), "english, chinese or a file"),
        (dict(vectors="v.txt"), "imported vectors belong to words.*another tokenizer, words"),
        (dict(vectors="nowhere.txt", tokenizer="words"), "nowhere.txt"),
    ],
    ids=str,
)
def test_unusable_options_are_explained(change, message):
    def set_up() -> None:
        Seq2SeqDataModule(**change).setup("fit")

    with pytest.raises(ValueError, match=message):
        set_up()


def test_the_largest_vocabulary_size_in_the_error_is_possible():
    with pytest.raises(DataError) as error:
        Seq2SeqDataModule("sample-phrases", vocabulary_size=50_000).codec  # noqa: B018
    largest = int(str(error.value).split(" is the largest")[0].split()[-1])
    Seq2SeqDataModule("sample-phrases", vocabulary_size=largest).codec  # noqa: B018


def test_sides_of_unequal_length_are_named(tmp_path):
    arguments = write(tmp_path, "parallel")
    with (tmp_path / "train.de").open("a", encoding="utf-8") as file:
        file.write("Noch einer.\nUnd noch einer.\n")
    with pytest.raises(DataError, match=r"got 5 and 3: line 4 of .*train\.de has no partner"):
        Seq2SeqDataModule(**arguments).pairs("train")


@pytest.mark.parametrize("kind, line", [("tsv", 3), ("jsonl", 2), ("parallel", 2)])
@pytest.mark.parametrize("side", [0, 1])
def test_an_empty_text_is_named(tmp_path, kind, line, side):
    pairs = [list(pair) for pair in PAIRS]
    pairs[1][side] = " "
    with pytest.raises(DataError, match=rf":{line}.*empty one. Remove the pair"):
        Seq2SeqDataModule(**write(tmp_path, kind, pairs)).pairs("train")


def test_missing_files_columns_and_splits_are_named(tmp_path):
    arguments = write(tmp_path, "tsv")
    with pytest.raises(DataError, match="nowhere.de"):
        Seq2SeqDataModule(train="nowhere", source="de", target="en").pairs("train")
    with pytest.raises(DataError, match="expected a column fr, got de, en.*--data.source"):
        Seq2SeqDataModule(**{**arguments, "source": "fr"}).pairs("train")
    with pytest.raises(DataError, match="--data.test FILE"):
        Seq2SeqDataModule(train=arguments["train"], source="de", target="en").pairs("test")


def test_the_anthology_is_split_by_its_ids():
    abstract = "We show that <b>words</b> matter a lot, number {}, " + "indeed " * 30
    texts = [f"<title>A fine <i>title</i>  here</title><abstract>{abstract.format(i)}</abstract>" for i in range(60)]
    papers = [f"<paper id='{i}'>{text}</paper>" for i, text in enumerate(texts)]
    papers += [papers[3].replace("id='3'", "id='99'"), "<paper id='98'><title>Short one</title></paper>"]
    volumes = {2016: "".join(papers), 2015: papers[5].replace("number", "old")}
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as files:
        for year, text in volumes.items():
            xml = (
                f"<collection id='P{year}'><volume id='1'><meta><year>{year}</year></meta>{text}</volume></collection>"
            )
            entry = tarfile.TarInfo(f"top/data/xml/P{year}.xml")
            entry.size = len(xml)
            files.addfile(entry, io.BytesIO(xml.encode()))
    dealt = {
        split: acl_titles_split(archive.getvalue(), split).decode().splitlines() for split in ("train", "dev", "test")
    }
    rows = {split: [json.loads(line) for line in lines] for split, lines in dealt.items()}
    assert sum(map(len, rows.values())) == 60 and all(rows.values())
    for split, ids in rows.items():
        for row in ids:
            share = int(hashlib.sha256(row["id"].encode()).hexdigest()[:8], 16) % 18
            assert split == {0: "test", 1: "dev"}.get(share, "train")
            assert row["title"] == "A fine title here" and row["abstract"].startswith("We show that words matter")


@pytest.mark.skipif(not os.environ.get("ZOO_DATA"), reason="ZOO_DATA is not set: the real corpora are not at hand")
def test_abstracts_are_made_of_two_files():
    folder = Path(os.environ["ZOO_DATA"], "csl-zh")
    for target in ("title", "keywords"):
        parts = {split: (folder / f"{target}-{split}.tsv").read_bytes() for split in ("train", "dev", "test")}
        upstream = b"".join(b"to title\t" + line for part in parts.values() for line in part.splitlines(keepends=True))
        for split, part in parts.items():
            assert csl_split(upstream, split) == part
            assert hashlib.sha256(part).hexdigest() == CATALOG["csl-zh"].splits[f"{split}/{target}"].sha256


@pytest.mark.skipif(not os.environ.get("ZOO_DATA"), reason="ZOO_DATA is not set: the real corpora are not at hand")
@pytest.mark.parametrize(
    "options, counts, language",
    [
        (dict(dataset="multi30k"), (29_000, 1_014, 1_000), "de"),
        (dict(dataset="multi30k", source="de", target="en"), (29_000, 1_014, 1_000), "en"),
        (dict(dataset="acl-titles"), (16_146, 1_029, 1_023), "en"),
        (dict(dataset="csl-zh"), (1_600, 200, 200), "zh"),
        (dict(dataset="csl-zh", target="keywords"), (1_600, 200, 200), "zh"),
    ],
    ids=str,
)
def test_the_real_corpora(options, counts, language):
    data = Seq2SeqDataModule(**options, tokenizer="characters")
    assert tuple(len(data.pairs(split)) for split in ("train", "dev", "test")) == counts
    assert data.codec.language == language
    if options.get("target") == "keywords":
        assert "_" in data.pairs("dev")[0].target


@pytest.mark.parametrize("kind, metric", [(Seq2Seq, "chrf"), (Seq2SeqSummarizer, "rouge1")])
def test_learns_pairs_by_heart_in_a_bare_trainer(kind, metric, tmp_path):
    pl.seed_everything(0)
    few = Seq2SeqDataModule("sample-phrases").pairs("train")[:20]
    data = Seq2SeqDataModule(**write(tmp_path, "tsv", few), tokenizer="words", min_count=1, max_tokens=150)
    default = POINTER_GENERATOR if kind is Seq2SeqSummarizer else AttentionOptions()
    model = kind(
        data.codec,
        embedding_size=32,
        encoder_size=16,
        decoder_size=32,
        dropout=0.0,
        attention=replace(default, size=16, coverage_after=120),
        regularization=Seq2SeqRegularization(label_smoothing=0.0),
        optimizer=OptimizerOptions(learning_rate=1e-2, warmup=0.05),
    )
    trainer = pl.Trainer(
        max_epochs=60, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, gradient_clip_val=1.0, check_val_every_n_epoch=60,
    )  # fmt: skip
    trainer.fit(model, data)
    scores = trainer.validate(model, data, verbose=False)[0]
    assert scores["val/perplexity"] < 4 and scores[f"val/{metric}"] > 0.5, scores
    written = model.metrics["val"].written()
    assert [w.pair for w in written] == data.pairs("train")
    assert [w.output for w in written] == model.predict([pair.source for pair in data.pairs("train")])
    assert torch.tensor(scores["val/loss"]).exp().item() == pytest.approx(scores["val/perplexity"], rel=1e-5)
