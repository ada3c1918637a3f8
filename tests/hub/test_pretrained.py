"""Model folders: reloaded equals saved, without pickle; damage is noticed; the bundled models are what they say."""

from __future__ import annotations

import hashlib
import json
import os
import runpy
from pathlib import Path

import pytest
import torch
from command_line import run_python
from huggingface_hub import ModelCard

import zoo
from datamodules import CATALOG, ClassificationDataModule, Seq2SeqDataModule, TaggingDataModule
from zoo.codecs import ClassificationCodec, TaggingCodec
from zoo.errors import ZooError
from zoo.hub.sources import BUNDLED
from zoo.model_card import model_card
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


def test_half_precision_takes_half_the_space(tmp_path):
    model = small(hidden_size=64)
    sizes = [
        (model.save_pretrained(tmp_path / str(half), half=half) / "model.safetensors").stat().st_size
        for half in (False, True)
    ]
    assert sizes[1] < 0.6 * sizes[0]
    again = zoo.from_pretrained(tmp_path / "True")
    for ours, theirs in zip(model.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-3)


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


# What each bundled model makes of a text.
SHOWN = {
    "sentiment-zh-shopping": ("质量很差，用了两天就坏了", "negative"),
    "topic-zh-shopping": ("苹果很脆很甜，物流也快", "水果"),
    "sentiment-en-sst2": ("two hours that i will never get back", "negative"),
    "spam-en-sms": ("WINNER!! Claim your free prize now", "spam"),
    "pos-en-ewt": ("I saw her duck .", ["PRON", "VERB", "PRON", "NOUN", "PUNCT"]),
    "ner-zh-resume": (
        "王珺珊女士，中国国籍",
        ["B-NAME", "M-NAME", "E-NAME", "O", "O", "O", "B-CONT", "M-CONT", "M-CONT", "E-CONT"],
    ),
    "titles-en-acl": (
        "Padding wastes computation in recurrent neural networks. We present a padded batching method for LSTM taggers "
        "that is exact, and show that it is faster than packed sequences on a CPU.",
        "a padded batching method for lstm taggers",
    ),
    "translate-en-de-multi30k": (
        "A man in a blue shirt is standing on a ladder cleaning a window.",
        "Ein Mann in einem blauen Hemd steht auf einer Leiter und reinigt ein Fenster.",
    ),
}


@pytest.mark.parametrize("name", sorted(path.parent.name for path in BUNDLED.glob("*/card.json")))
class TestBundled:
    def test_it_is_small_and_has_a_complete_card(self, name):
        card, folder = zoo.list_pretrained()[name], BUNDLED / name
        fields = {"name": str, "sha256": dict, "language": str, "task": str, "data": dict}
        fields |= {"source": str, "licence": str, "scores": dict, "best_dev": dict, "dev_slice_score": float}
        fields |= {"command": str, "commit": str, "seed": int, "hardware": str, "minutes": float, "versions": dict}
        wrong = [field for field, kind in fields.items() if not isinstance(card.get(field), kind)]
        # All cards have the same fields.
        assert not wrong and set(card) == set().union(*zoo.list_pretrained().values())
        corpus = CATALOG[card["data"]["dataset"]]
        assert card["name"] == name
        assert {*card["sha256"], "card.json", "README.md"} == {path.name for path in folder.iterdir()}
        assert (card["task"], card["language"], card["licence"]) == (corpus.task, corpus.language, corpus.licence)
        assert sum(path.stat().st_size for path in folder.iterdir()) < 15e6

    def test_it_predicts_labels_of_its_corpus(self, name):
        corpus, model = CATALOG[zoo.list_pretrained()[name]["data"]["dataset"]], zoo.from_pretrained(name)
        if isinstance(model, zoo.TextClassifier):
            assert not set(model.codec.labels) & set(corpus.label_names)
            assert all(not label.isdecimal() for label in model.codec.labels)

    def test_its_card_has_the_unit_of_the_model(self, name):
        assert zoo.list_pretrained()[name]["unit"] == zoo.from_pretrained(name).unit

    def test_its_card_names_the_data_that_it_is_scored_on(self, name):
        card = zoo.list_pretrained()[name]
        data = DATA[card["task"]](**card["data"])
        assert data.dataset in CATALOG and CATALOG[data.dataset].task == card["task"]

    def test_its_score_on_a_slice_of_dev_equals_that_of_its_card(self, name):
        if not os.environ.get("ZOO_DATA"):
            pytest.skip("ZOO_DATA is not set: the real corpora are not at hand")
        card = zoo.list_pretrained()[name]
        score = BUNDLE["slice_score"](zoo.from_pretrained(name), card["data"])
        assert score == pytest.approx(card["dev_slice_score"], abs=5e-4)

    def test_it_works_offline_and_from_any_folder(self, name, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        text, expected = SHOWN[name]
        (found,) = zoo.from_pretrained(name).predict([text])
        assert (found["label"] if isinstance(found, dict) else found) == expected


@pytest.mark.parametrize("name", zoo.list_pretrained())
def test_the_readme_of_a_bundled_model_is_that_of_its_card(name):
    config = json.loads((BUNDLED / name / "config.json").read_text("utf-8"))
    assert (BUNDLED / name / "README.md").read_text("utf-8") == model_card(zoo.card(name), config["class"])


def test_the_hub_understands_the_metadata_of_a_readme():
    card = ModelCard.load(BUNDLED / "pos-en-ewt" / "README.md")
    (result,) = [result for result in card.data.eval_results if result.metric_type == "accuracy"]
    assert result.metric_value == 95.94
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
