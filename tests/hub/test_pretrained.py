"""Model folders: reloaded equals saved, without pickle; damage is noticed; the bundled models are what they say."""

from __future__ import annotations

import hashlib
import json
import os
import runpy
from functools import cache
from pathlib import Path

import pytest
import torch
from command_line import run_python
from huggingface_hub import ModelCard
from pages import blocks, check_python
from safetensors.torch import load_file, save_file

import zoo
from datamodules import CATALOG, ClassificationDataModule, Seq2SeqDataModule, TaggingDataModule
from zoo.card_schema import PUBLISHED
from zoo.codecs import ClassificationCodec, TaggingCodec
from zoo.errors import ZooError
from zoo.hub.sources import BUNDLED
from zoo.model_card import model_card, publish_card
from zoo.models.base import ZooModule
from zoo.models.options import CharacterOptions
from zoo.text import Vocabulary

DATA = {module.task: module for module in (ClassificationDataModule, Seq2SeqDataModule, TaggingDataModule)}
CHARACTERS = {"character_output": "output_size"}
FILES = ["config.json", "codec.json", "model.safetensors"]
BUNDLE = runpy.run_path(Path(__file__).parents[2] / "tools" / "bundle_model.py")


def small(tags=("A", "B-X", "I-X"), **options) -> zoo.SequenceTagger:
    torch.manual_seed(0)
    characters = Vocabulary.fit("Isawherduck.")
    words = Vocabulary.fit(["i", "saw", "."])
    options = {"hidden_size": 6, "embedding_size": 5, "characters": CharacterOptions(output_size=4), **options}
    fields = {name: options.pop(name) for name in ("scheme", "vector_words", "vector_size") if name in options}
    return zoo.SequenceTagger(TaggingCodec(words, characters, tags, **fields), **options)


def sign(folder: Path) -> None:
    """Puts the sums of the files as they are into the card."""
    sums = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES}
    (folder / "card.json").write_text(json.dumps({"sha256": sums}))


@pytest.mark.parametrize(
    "options",
    [{}, {"head": "crf"}, {"cell": "gru", "characters": CharacterOptions(output_size=4, encoder="cnn")}],
    ids=str,
)
def test_reloaded_equals_saved(tmp_path, options):
    model = small(**options)
    model.save_pretrained(tmp_path / "m")
    files = {"README.md", "card.json", "codec.json", "config.json", "model.safetensors"}
    assert {path.name for path in (tmp_path / "m").iterdir()} == files
    again = zoo.from_pretrained(tmp_path / "m")
    for (name, value), (other, restored) in zip(model.state_dict().items(), again.state_dict().items(), strict=True):
        assert name == other and torch.equal(value, restored)
    assert again.hparams == model.hparams
    assert again.predict(["I saw her duck ."]) == model.predict(["I saw her duck ."])
    assert not again.training


def test_run_folders_and_checkpoints_load_the_same_model(tmp_path):
    model = small()
    model.save_pretrained(tmp_path / "run" / "model")
    checkpoint = {"state_dict": model.state_dict()}
    model.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, tmp_path / "run" / "best.ckpt")
    for source in ("run", "run/model", "run/best.ckpt"):
        for kind in (str, Path):
            again = zoo.from_pretrained(kind(tmp_path / source))
            assert again.predict(["I saw her duck ."]) == model.predict(["I saw her duck ."])
            assert not again.training


@pytest.mark.parametrize(("dtype", "share", "exactness"), [("float16", 0.6, 1e-3), ("int8", 0.35, 1e-2)])
def test_a_model_in_fewer_bits_is_smaller_and_nearly_the_same(tmp_path, dtype, share, exactness):
    model = small(hidden_size=64)
    whole = model.save_pretrained(tmp_path / "float32") / "model.safetensors"
    folder = model.save_pretrained(tmp_path / dtype, dtype=dtype)
    assert (folder / "model.safetensors").stat().st_size < share * whole.stat().st_size
    again = zoo.from_pretrained(folder)
    for ours, theirs in zip(model.parameters(), again.parameters(), strict=True):
        assert theirs.dtype == torch.float32
        torch.testing.assert_close(ours, theirs, atol=exactness, rtol=exactness)
    assert again.predict(["I saw her duck ."]) == model.predict(["I saw her duck ."])


def test_a_model_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    model = zoo.TextClassifier(
        ClassificationCodec(["<pad>", "<unk>", "\ud83d"], ["no", "yes"]), hidden_size=2, embedding_size=2
    )
    with pytest.raises(UnicodeEncodeError):
        model.save_pretrained(tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_a_full_disk_leaves_the_old_model(tmp_path):
    resource = pytest.importorskip("resource")
    folder = small().save_pretrained(tmp_path / "m")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(files["model.safetensors"]) // 2, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            small(cell="gru").save_pretrained(folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files


@pytest.mark.skipif(os.name != "posix", reason="file modes")
def test_every_file_has_the_permissions_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        folder = small().save_pretrained(tmp_path / "m")
    finally:
        os.umask(before)
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in folder.iterdir()} == dict.fromkeys(
        ["README.md", "card.json", "config.json", "model.safetensors", "codec.json"], "0o640"
    )


@pytest.mark.parametrize("file", FILES)
def test_every_change_of_a_file_is_detected(tmp_path, file):
    folder = small().save_pretrained(tmp_path / "m")
    content = (folder / file).read_bytes()
    # Two letters are swapped, so the size of the file does not change, and JSON stays valid.
    place = content.rindex(b"A") if file == "codec.json" else len(content) // 2
    (folder / file).write_bytes(content[:place] + bytes([content[place] ^ 3]) + content[place + 1 :])
    with pytest.raises(ZooError, match=f"{folder / file}.*(card expects sha256|expected JSON)"):
        zoo.from_pretrained(folder)


@pytest.mark.parametrize("file", [*FILES, "card.json"])
@pytest.mark.parametrize("what", ["missing", "a pipe", "a folder", "cut", "nested"])
def test_missing_and_damaged_files_are_refused(tmp_path, file, what):
    folder = small().save_pretrained(tmp_path / "m")
    content = (folder / file).read_bytes()
    (folder / file).unlink()
    if what == "a pipe":
        # To open a pipe would wait for a writer.
        os.mkfifo(folder / file)
    elif what == "a folder":
        (folder / file).mkdir()
    elif what == "cut":
        (folder / file).write_bytes(content[:-10])
    elif what == "nested":
        (folder / file).write_bytes(b"[" * 100_000)
    with pytest.raises(ZooError, match=str(folder)):
        zoo.from_pretrained(folder)


def test_a_file_that_was_changed_on_purpose_is_loaded_with_its_new_sum(tmp_path):
    folder = small().save_pretrained(tmp_path / "m")
    vocabulary = folder / "codec.json"
    vocabulary.write_text(vocabulary.read_text().replace('"A"', '"NOUN"'))
    with pytest.raises(ZooError, match="got ([0-9a-f]{64}):.*put its new sum into card.json"):
        zoo.from_pretrained(folder)
    sign(folder)
    assert list(zoo.from_pretrained(folder).codec.tags) == ["NOUN", "B-X", "I-X"]


def test_a_model_saved_over_one_with_a_card_is_loaded(tmp_path):
    folder = small(cell="gru").save_pretrained(tmp_path / "m")
    (folder / "card.json").write_text(json.dumps({"sha256": "0" * 64}))
    small().save_pretrained(folder)
    assert zoo.from_pretrained(folder).hparams["cell"] == "lstm"


@pytest.mark.parametrize("file", ["config.json", "codec.json", "card.json"])
@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "{}",
        "null",
        '{"class": [], "arguments": []}',
        '{"format_version": 1, "class": [], "arguments": []}',
        '{"sha256": 1}',
    ],
)
def test_json_that_describes_no_model_is_refused(tmp_path, file, content):
    folder = small().save_pretrained(tmp_path)
    (folder / file).write_text(content)
    if file != "card.json":
        sign(folder)
    with pytest.raises(ZooError, match=str(folder)):
        zoo.from_pretrained(folder)


def reconfigured(folder: Path, **changes) -> Path:
    """The folder with other arguments, or other fields of the codec."""
    config = json.loads((folder / "config.json").read_text())
    codec = json.loads((folder / "codec.json").read_text())
    for name, value in changes.items():
        if name in codec:
            codec[name] = value
        elif name in CHARACTERS:
            config["arguments"]["characters"][CHARACTERS[name]] = value
        else:
            config["arguments"][name] = value
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "codec.json").write_text(json.dumps(codec))
    sign(folder)
    return folder


@pytest.mark.parametrize(
    "name, value", [("hiden_size", 3), ("hidden_size", "six"), ("words", 5), ("tags", [[]]), ("recurrent", 1.5)]
)
def test_invalid_arguments_in_the_config_are_refused(tmp_path, name, value):
    folder = reconfigured(small().save_pretrained(tmp_path), **{name: value})
    with pytest.raises(ZooError, match=f"{folder}: expected arguments and weights of a SequenceTagger, got: "):
        zoo.from_pretrained(folder)


@pytest.mark.parametrize(
    "name, value",
    [("hidden_size", 7), ("hidden_size", 10**9), ("embedding_size", 10**12), ("num_layers", 10**9), ("num_layers", 1),
     ("character_output", 10**9), ("head", "crf"), ("bidirectional", False), ("vector_size", 10**15),
     ("tags", [f"B-{i}" for i in range(20_000)]), ("hidden_size", 10**30)],
)  # fmt: skip
def test_arguments_of_another_size_are_refused_before_anything_takes_memory(tmp_path, name, value):
    folder = reconfigured(small().save_pretrained(tmp_path), **{"scheme": "BIO", name: value})
    # A CRF would allocate a matrix of all pairs of tags.
    if name == "tags":
        reconfigured(folder, head="crf")
    with pytest.raises(ZooError, match=f"{folder}: expected arguments and weights of a SequenceTagger, got: "):
        zoo.from_pretrained(folder)


@pytest.mark.parametrize("cell", zoo.CELLS)
@pytest.mark.parametrize(
    "options", [{"head": "crf", "scheme": "BIO"}, {"num_layers": 1, "language_model_weight": 0.5}], ids=str
)
def test_a_tagger_with_every_cell_and_option_is_loaded(tmp_path, cell, options):
    model = small(cell=cell, tags=["O", "B-X", "I-X"], **options)
    again = zoo.from_pretrained(model.save_pretrained(tmp_path))
    assert again.predict(["I saw her duck ."]) == model.predict(["I saw her duck ."])


def test_a_folder_of_another_class_is_refused(tmp_path):
    folder = small().save_pretrained(tmp_path)
    (folder / "config.json").write_text(json.dumps({"format_version": 1, "class": "Parser", "arguments": {}}))
    sign(folder)
    with pytest.raises(ZooError, match="zoo.register.*known are .*SequenceTagger"):
        zoo.from_pretrained(folder)


def test_the_error_for_an_unknown_name_lists_known_ones(tmp_path):
    with pytest.raises(ZooError, match="did you mean 'pos-en-ewt'.*ner-zh-resume"):
        zoo.from_pretrained("pos-en-ewd")
    with pytest.raises(ZooError, match="no model folder"):
        zoo.from_pretrained(tmp_path)


@cache
def bundled(name: str) -> ZooModule:
    """A bundled model, which is loaded once."""
    return zoo.from_pretrained(name)


@pytest.mark.parametrize("name", sorted(path.parent.name for path in BUNDLED.glob("*/card.json")))
class TestBundled:
    def test_it_is_small_and_has_a_complete_card(self, name):
        card, folder = zoo.list_pretrained()[name], BUNDLED / name
        assert set(card) == set(PUBLISHED)
        assert all(card[field] or field == "seed" for field in {*PUBLISHED} - {"out_of_domain"})
        corpus = CATALOG[card["data"]["dataset"]]
        assert card["name"] == name
        assert {*card["sha256"], "card.json", "README.md"} == {path.name for path in folder.iterdir()}
        assert (card["task"], card["language"], card["licence"]) == (corpus.task, corpus.language, corpus.licence)
        assert sum(path.stat().st_size for path in folder.iterdir()) < 15e6
        assert card["bytes"] == (folder / "model.safetensors").stat().st_size

    def test_it_predicts_labels_of_its_corpus(self, name):
        corpus, model = CATALOG[zoo.list_pretrained()[name]["data"]["dataset"]], bundled(name)
        if isinstance(model, zoo.TextClassifier):
            assert not set(model.codec.labels) & set(corpus.label_names)
            assert all(not label.isdecimal() for label in model.codec.labels)

    def test_its_card_describes_the_model(self, name):
        card, model = zoo.card(name), bundled(name)
        assert card["unit"] == model.unit
        assert card["parameters"] == sum(parameter.numel() for parameter in model.parameters())

    def test_its_card_names_the_data_that_it_is_scored_on(self, name):
        card = zoo.list_pretrained()[name]
        data = DATA[card["task"]](**card["data"])
        assert data.files.entry == CATALOG[card["data"]["dataset"]] and data.files.entry.task == card["task"]

    def test_its_score_on_a_slice_of_dev_equals_that_of_its_card(self, name):
        if not os.environ.get("ZOO_DATA"):
            pytest.skip("ZOO_DATA is not set: the real corpora are not at hand")
        card = zoo.list_pretrained()[name]
        score = BUNDLE["slice_score"](bundled(name), card["data"])
        assert score == pytest.approx(card["dev_slice_score"], abs=5e-4)

    def test_the_example_of_its_readme_prints_what_it_shows_in_any_folder(self, name, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (block,) = blocks(BUNDLED / name / "README.md", "python")
        check_python(block, BUNDLED / name / "README.md", {})
        assert block.rstrip().endswith(f"# {zoo.card(name)['example']['output']}")


def test_the_bundled_models_are_small_together():
    assert sum(path.stat().st_size for path in BUNDLED.rglob("*")) < 80e6


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"licens": "MIT"}, "unknown field of a card 'licens': did you mean 'licence'"),
        ({"seed": 1.5}, "expected seed of type int, got 1.5"),
        ({"seed": True}, "expected seed of type int, got True"),
        ({"scores": {"test/accuracy": "high"}}, "expected scores of type dict.str, float., got"),
        ({"example": {"input": "a"}}, "expected example of type {input, output}, got"),
        ({"example": {"input": "a", "output": 1}}, "expected example of type {input, output}, got"),
        ({"out_of_domain": [{"data": "x", "scores": {"f1": None}}]}, "expected out_of_domain of type list"),
        ({"minutes": float}, "expected minutes of type float, got <class"),
    ],
)
def test_a_card_has_known_fields_of_known_types_when_written_and_when_read(tmp_path, fields, message):
    folder = small().save_pretrained(tmp_path)
    card = json.loads((folder / "card.json").read_text())
    with pytest.raises(ZooError, match=f"card.json: {message}"):
        publish_card(folder, {"name": "mine", **fields})
    assert json.loads((folder / "card.json").read_text()) == card
    if "minutes" not in fields:
        (folder / "card.json").write_text(json.dumps({**card, **fields}))
        with pytest.raises(ZooError, match=f"card.json: {message}"):
            zoo.from_pretrained(folder)
        with pytest.raises(ZooError, match=f"card.json: {message}"):
            zoo.card(folder)


def test_a_published_card_keeps_the_facts_of_its_files(tmp_path):
    folder = small().save_pretrained(tmp_path / "m", dtype="float16")
    own = zoo.card(folder)
    weights = folder / "model.safetensors"
    assert (own["dtype"], own["bytes"]) == ("float16", weights.stat().st_size)
    publish_card(folder, {"name": "mine", "minutes": 2, "dtype": "int8", "sha256": {}})
    assert zoo.card(folder) == {**own, "name": "mine", "minutes": 2}
    assert "# mine\n" in (folder / "README.md").read_text()
    zoo.from_pretrained(folder)


def test_integers_are_no_weights(tmp_path):
    """torch would copy them into the parameters without a word."""
    folder = small().save_pretrained(tmp_path)
    weights = load_file(folder / "model.safetensors")
    weights["head.bias"] = weights["head.bias"].to(torch.int8)
    save_file(weights, folder / "model.safetensors")
    sign(folder)
    with pytest.raises(
        ZooError, match="head.bias of dtype torch.float32 in the model and of torch.int8 in the weights"
    ):
        zoo.from_pretrained(folder)


@pytest.mark.parametrize("name", zoo.list_pretrained())
def test_the_readme_of_a_bundled_model_is_that_of_its_card(name):
    config = json.loads((BUNDLED / name / "config.json").read_text("utf-8"))
    assert (BUNDLED / name / "README.md").read_text("utf-8") == model_card(zoo.card(name), config["class"])


def test_the_hub_understands_the_metadata_of_a_readme():
    card = ModelCard.load(BUNDLED / "pos-en-ewt" / "README.md")
    (result,) = [result for result in card.data.eval_results if result.metric_type == "accuracy"]
    assert result.metric_value == 95.93
    assert (card.data.license, card.data.pipeline_tag, card.data.language) == (
        "cc-by-sa-4.0",
        "token-classification",
        "en",
    )


def test_a_newer_format_is_refused(tmp_path):
    folder = small().save_pretrained(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "format_version": 2}))
    sign(folder)
    with pytest.raises(ZooError, match="expected at most version 1 of the format, got 2: .*upgrade"):
        zoo.from_pretrained(folder)


def test_a_readme_of_the_user_is_kept(tmp_path):
    (tmp_path / "README.md").write_text("My model.")
    assert (small().save_pretrained(tmp_path) / "README.md").read_text() == "My model."


def test_models_are_listed_by_task_and_language():
    assert list(zoo.list_pretrained(task="tagging", language="zh")) == ["ner-zh-resume"]
    assert {card["task"] for card in zoo.list_pretrained(task="seq2seq").values()} == {"seq2seq"}
    assert zoo.list_pretrained(task="tagging", language="de") == {}
    with pytest.raises(ZooError, match="unknown task 'tag': .*known are classification, seq2seq, tagging"):
        zoo.list_pretrained(task="tag")
    assert zoo.card("ner-zh-resume") == zoo.list_pretrained()["ner-zh-resume"]


def test_torch_hub_loads_a_bundled_model(tmp_path):
    """The repository is on the path during the call alone, so the model must need no import later."""
    root = Path(zoo.__file__).parents[1]
    code = (
        f"import sys, torch; model = torch.hub.load({str(root)!r}, 'spam_en_sms', source='local'); "
        "sys.path[:] = [path for path in sys.path if path]; print(model.predict(['free prize now'])[0]['label'])"
    )
    assert run_python("-c", code, cwd=tmp_path).stdout.strip() == "spam"
