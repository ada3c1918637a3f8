"""What would end in a traceback of somebody else's, or in a machine out of memory, is said, with the way out."""

from __future__ import annotations

import resource
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

import zoo
from datamodules import ClassificationDataModule, Seq2SeqDataModule, TaggingDataModule
from datamodules.errors import DataError
from zoo.batches.classification import ClassificationInputs, Texts
from zoo.codecs import ClassificationCodec, Seq2SeqCodec, TaggingCodec
from zoo.errors import ZooError
from zoo.nn.backbone import RecurrentBackbone
from zoo.nn.cells import CELLS

SPECIALS = ["<pad>", "<unk>"]
TEXTS = ClassificationCodec(SPECIALS, ["a", "b"])
SENTENCES = TaggingCodec(SPECIALS, SPECIALS, ["a"])
PAIRS = Seq2SeqCodec([*SPECIALS, "<s>", "</s>"], tokenizer="words")
HUGE = 10**6


@pytest.mark.parametrize("cell", CELLS)
def test_a_size_that_no_memory_holds_is_refused_before_it_is_allocated(cell):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ZooError, match=r"1,000,000,000 units .* need .* GiB, and this machine has .* smaller size"):
        RecurrentBackbone(100, 10**9, cell=cell)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # in kB


@pytest.mark.parametrize(
    "make",
    [
        lambda: zoo.TextClassifier(TEXTS, hidden_size=HUGE),
        lambda: zoo.TextClassifier(TEXTS, embedding_size=10**12),
        lambda: zoo.SequenceTagger(SENTENCES, hidden_size=HUGE),
        lambda: zoo.SequenceTagger(SENTENCES, embedding_size=10**12),
        lambda: zoo.SequenceTagger(SENTENCES, characters={"output_size": 2 * HUGE}),
        lambda: zoo.Seq2Seq(PAIRS, encoder_size=HUGE),
        lambda: zoo.Seq2Seq(PAIRS, decoder_size=HUGE),
        lambda: zoo.Seq2Seq(PAIRS, embedding_size=10**12),
    ],
)
def test_impossible_sizes_of_every_model_are_refused(make):
    with pytest.raises(ZooError, match="Give a smaller size"):
        make()


def test_sizes_are_counted_without_a_draw():
    torch.manual_seed(0)
    RecurrentBackbone(3, 4, num_layers=2)
    after = torch.rand(())
    torch.manual_seed(0)
    for size in (3, 8):
        from zoo.nn.cells import RecurrentOptions, make_cell

        for _ in range(2):
            make_cell("lstm", size, 4, RecurrentOptions())
    assert torch.equal(after, torch.rand(()))


@pytest.mark.parametrize("wrong", [-5, 0, 0.5, 4096.0, None, "4096", True, float("nan")])
def test_a_budget_of_tokens_is_a_whole_number_from_one(wrong):
    tagger = zoo.SequenceTagger(SENTENCES, hidden_size=4, num_layers=1)
    classifier = zoo.TextClassifier(TEXTS, hidden_size=4)
    explain = partial(zoo.explain, classifier)
    writer = zoo.Seq2Seq(PAIRS, encoder_size=4, decoder_size=4)
    for work in (tagger.predict, classifier.predict, explain, writer.predict, writer.sample):
        with pytest.raises(ZooError, match="expected max_tokens, .* as a whole number from 1, got"):
            work(["a text"], max_tokens=wrong)
    for data in (TaggingDataModule, ClassificationDataModule, Seq2SeqDataModule):
        with pytest.raises(DataError, match="--data.max_tokens: .* whole number from 1"):
            data(max_tokens=wrong)


def test_what_a_backbone_cannot_read_is_named_with_what_to_type():
    backbone, x, lengths = RecurrentBackbone(3, 4), torch.randn(2, 5, 3), torch.tensor([5, 2])
    for args, message in (
        ((x,), r"expected lengths.* give torch.full\(\(len\(x\),\), x.shape\[1\], device=x.device\)"),
        ((x, None), "expected lengths"),
        ((pack_padded_sequence(x, lengths, batch_first=True),), "PackedSequence.*pad_packed_sequence"),
        ((x.numpy(), lengths), r"got ndarray: convert it with torch.as_tensor\(x\)"),
        ((x.tolist(), lengths), "got list"),
        ((x, np.array([5, 2])), "expected lengths as integers in a tensor .*, got ndarray"),
        ((x, [5, 2]), "got list"),
    ):
        with pytest.raises(ZooError, match=message):
            backbone(*args)
    full = torch.full((len(x),), x.shape[1], device=x.device)
    assert backbone(x, full).sequence.shape == (2, 5, 8)


CASES = {
    "pos-en-ewt": "I saw her duck .",
    "sentiment-en-sst2": "a gripping film",
    "translate-en-de-multi30k": "A dog runs.",
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_quantized_linear_layers_predict_what_the_others_do(name):
    model, text = zoo.from_pretrained(name), [CASES[name]]
    quantized = torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)
    one, other = quantized.predict(text), model.predict(text)
    if name.startswith("sentiment"):
        one, other = one[0]["label"], other[0]["label"]
    assert one == other


@pytest.mark.parametrize("name", CASES)
def test_inference_mode_does_not_matter_to_a_model_that_is_loaded_or_cast_in_it(name):
    text = [CASES[name]]
    expected = zoo.from_pretrained(name).predict(text)
    with torch.inference_mode():
        model = zoo.from_pretrained(name)
        assert model.predict(text) == expected
    assert model.predict(text) == expected
    for parameter in model.parameters():
        assert not parameter.is_inference()
    with torch.inference_mode():
        model = model.double()
    if name != "sentiment-en-sst2":  # whose probabilities have other digits
        assert model.predict(text) == expected


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning")
def test_a_model_is_traced_outside_a_trainer():
    class Traced(nn.Module):
        """Tensors alone, as traces have no named tuples."""

        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, words, vectors, lengths):
            return self.model(ClassificationInputs(words, vectors, lengths))

    model = zoo.TextClassifier(TEXTS, hidden_size=4, embedding_size=4).eval()
    inputs = Texts.of([["one", "text"], ["more"]], model.codec.indexer).inputs([0, 1])
    with torch.no_grad():
        traced = torch.jit.trace(Traced(model), tuple(inputs), check_trace=False)
        torch.testing.assert_close(traced(*inputs), model(inputs))
    with pytest.raises(RuntimeError, match="not attached to a `Trainer`"):
        model.trainer  # noqa: B018
