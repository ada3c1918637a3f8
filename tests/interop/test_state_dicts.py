"""Weights of PyTorch tutorials as people save them, and the tutorials' other classes."""

from __future__ import annotations

import os

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import zoo
from zoo.batches.tagging import Sentences
from zoo.errors import ZooError

WORDS = "the film was not good bad at all really a soup cold".split()
INDEX = {word: i for i, word in enumerate(WORDS)}
TEXTS = ["the film was good", "bad", "not at all a good film really", "the soup was cold really cold", "good good"]


def ids_of(text: str) -> torch.Tensor:
    return torch.tensor([INDEX[word] for word in text.split()])


class Classifier(nn.Module):
    """The usual tutorial classifier, with an LSTM or a GRU of some name."""

    def __init__(self, kind: type[nn.RNNBase], name: str, **options):
        super().__init__()
        self.embedding, self.name = nn.Embedding(len(WORDS), 5), name
        setattr(self, name, kind(5, 4, **options))
        self.fc = nn.Linear(8 if options.get("bidirectional") else 4, 3)

    def forward(self, text):  # (T,) -> (K,)
        layer = getattr(self, self.name)
        _, hidden = layer(self.embedding(text)[:, None])
        hidden = hidden[0] if isinstance(hidden, tuple) else hidden
        return self.fc(hidden[-2:, 0].flatten() if layer.bidirectional else hidden[-1, 0])


class BiLSTM_CRF(nn.Module):  # noqa: N801
    """The class of the advanced tutorial, with a first state of zeros in the place of a random one."""

    def __init__(self, tag_to_ix, size=8):
        super().__init__()
        self.tag_to_ix, tags = tag_to_ix, len(tag_to_ix)
        self.word_embeds = nn.Embedding(len(WORDS), 5)
        self.lstm = nn.LSTM(5, size // 2, num_layers=1, bidirectional=True)
        self.hidden2tag = nn.Linear(size, tags)
        self.transitions = nn.Parameter(torch.randn(tags, tags))  # [to, from]
        self.transitions.data[tag_to_ix["<START>"], :] = -10000
        self.transitions.data[:, tag_to_ix["<STOP>"]] = -10000

    def features(self, sentence):  # (T,) -> (T, K)
        out, _ = self.lstm(self.word_embeds(sentence)[:, None])
        return self.hidden2tag(out[:, 0])

    def score(self, features, tags):
        start, stop = self.tag_to_ix["<START>"], self.tag_to_ix["<STOP>"]
        path = [start, *tags]
        score = sum(self.transitions[b, a] + f[b] for a, b, f in zip(path, path[1:], features, strict=False))
        return score + self.transitions[stop, path[-1]]

    def forward(self, sentence):
        """The best path by the tutorial's Viterbi, its score, and log Z."""
        features = self.features(sentence)
        best = torch.full((len(self.tag_to_ix),), -10000.0)
        best[self.tag_to_ix["<START>"]] = 0
        every, pointers = best, []
        for feature in features:
            scores = best[None] + self.transitions  # (to, from)
            pointers.append(scores.argmax(1))
            best = scores.amax(1) + feature
            every = torch.logsumexp(every[None] + self.transitions, 1) + feature
        stop = self.transitions[self.tag_to_ix["<STOP>"]]
        path = [int((best + stop).argmax())]
        for pointer in reversed(pointers):
            path.append(int(pointer[path[-1]]))
        return path[-2::-1], (best + stop).max(), torch.logsumexp(every + stop, 0)


@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}], ids=str)
@pytest.mark.parametrize("name, kind", [("rnn", nn.LSTM), ("rnn", nn.GRU), ("gru", nn.GRU), ("lstm", nn.LSTM)])
def test_an_lstm_or_gru_of_another_name_gives_the_same_probabilities(name, kind, options):
    torch.manual_seed(0)
    theirs = Classifier(kind, name, **options).eval()
    found = zoo.import_state_dict(theirs.state_dict(), INDEX).predict(TEXTS)
    expected = torch.stack([theirs(ids_of(text)).softmax(-1) for text in TEXTS]).detach()
    found = torch.tensor([list(result["probabilities"].values()) for result in found])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_a_plain_rnn_is_refused_as_its_activation_is_unknown():
    with pytest.raises(ZooError, match="rnn is an nn.RNN, whose weights do not say if it uses tanh or relu"):
        zoo.import_state_dict(Classifier(nn.RNN, "rnn").state_dict(), INDEX)


@pytest.mark.parametrize("order", [["B", "I", "O", "<START>", "<STOP>"], ["<STOP>", "B", "<START>", "I", "O"]], ids=str)
def test_the_tutorial_s_crf_gives_the_same_paths_and_scores(order, tmp_path):
    tag_to_ix = {tag: i for i, tag in enumerate(order)}
    for seed in range(5):
        torch.manual_seed(seed)
        theirs = BiLSTM_CRF(tag_to_ix).eval()
        ours = zoo.import_state_dict(theirs.state_dict(), INDEX, tag_to_ix)
        assert list(ours.codec.tags) == ["B", "I", "O"]
        sentences = [text.split() for text in TEXTS]
        inputs = Sentences.of(sentences, ours.codec.indexer).inputs(range(len(TEXTS)))
        with torch.no_grad():
            scores = ours(inputs)
            partition = ours.crf.log_partition(scores, inputs.lengths)
            for row, (text, found) in enumerate(zip(TEXTS, ours.predict(TEXTS), strict=True)):
                path, score, log_z = theirs(ids_of(text))
                assert found == [order[tag] for tag in path]
                torch.testing.assert_close(partition[row], log_z, atol=1e-4, rtol=0)
                tags = torch.tensor([[list(ours.codec.tags).index(tag) for tag in found]])
                length = torch.tensor([len(found)])
                likelihood = ours.crf(scores[row : row + 1, : len(found)], tags, length)
                torch.testing.assert_close(likelihood[0], score - log_z, atol=1e-4, rtol=0)
    assert zoo.from_pretrained(ours.save_pretrained(tmp_path / "m")).predict(TEXTS) == ours.predict(TEXTS)


def test_a_crf_without_start_and_stop_is_refused():
    weights = BiLSTM_CRF({"O": 0, "B": 1, "<START>": 2, "<STOP>": 3}).state_dict()
    numbered = zoo.import_state_dict(weights, INDEX)
    assert list(numbered.codec.tags) == ["0", "1"]
    with pytest.raises(ZooError, match="from STOP.*got 0 such rows and 0 such columns"):
        zoo.import_state_dict({**weights, "transitions": torch.zeros(4, 4)}, INDEX)
    with pytest.raises(ZooError, match=r"expected transitions of shape \(4, 4\), got \(3, 4\)"):
        zoo.import_state_dict({**weights, "transitions": torch.zeros(3, 4)}, INDEX)


@pytest.mark.parametrize("entry", [None, "model_state_dict", "state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "model.", "module._orig_mod."])
def test_weights_are_found_in_checkpoints_and_under_the_names_of_wrappers(entry, prefix, tmp_path):
    torch.manual_seed(0)
    model = Classifier(nn.LSTM, "lstm")
    weights = {f"{prefix}{name}": value for name, value in model.state_dict().items()}
    optimiser = torch.optim.Adam(model.parameters())
    saved = weights if entry is None else {"epoch": 3, entry: weights, "optimizer_state_dict": optimiser.state_dict()}
    torch.save(saved, tmp_path / "model.pt")
    expected = zoo.import_state_dict(model.state_dict(), INDEX).predict(TEXTS)
    for source in (saved, tmp_path / "model.pt"):
        assert zoo.import_state_dict(source, INDEX).predict(TEXTS) == expected
    save_file(weights, tmp_path / "model.safetensors")
    assert zoo.import_state_dict(tmp_path / "model.safetensors", INDEX).predict(TEXTS) == expected


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.gru = nn.Embedding(9, 4), nn.GRU(4, 4)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.Wa, self.Ua, self.Va = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 1)


class Decoder(Encoder):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(4, 9)


class AttentionDecoder(Decoder):
    def __init__(self):
        super().__init__()
        self.attention, self.gru = Attention(), nn.GRU(8, 4)


class OlderDecoder(Decoder):
    def __init__(self):
        super().__init__()
        self.attn, self.attn_combine = nn.Linear(8, 10), nn.Linear(8, 4)


@pytest.mark.parametrize(
    "make, what",
    [
        (Encoder, "an encoder of"),
        (Decoder, "a decoder without attention"),
        (AttentionDecoder, "a decoder with attention"),
        (OlderDecoder, "a decoder with attention"),
        (lambda: nn.ModuleDict({"encoder": Encoder(), "decoder": Decoder()}), "an encoder and a decoder"),
    ],
)
def test_the_translator_of_the_tutorial_is_refused_by_name(make, what):
    with pytest.raises(ZooError, match=f"this is {what}.* tutorial on translation.* attends after it"):
        zoo.import_state_dict(make().state_dict(), {"a": 0})
    both = {"encoder": Encoder().state_dict(), "decoder": AttentionDecoder().state_dict()}
    with pytest.raises(ZooError, match="this is an encoder and a decoder"):
        zoo.import_state_dict(both, {"a": 0})


def test_errors_name_the_kind_of_other_sources(tmp_path):
    with pytest.raises(ZooError, match="load it with zoo.from_pretrained"):
        zoo.import_state_dict({"model_class": "SequenceTagger", "state_dict": {}}, INDEX)
    for wrong in ({}, {"a": 3}, {3: torch.zeros(1)}, {"state_dict": {"a": None}}):
        with pytest.raises(ZooError, match="expected"):
            zoo.import_state_dict(wrong, INDEX)
    if os.name == "posix":
        os.mkfifo(tmp_path / "pipe.pt")
        with pytest.raises(ZooError, match="pipe.pt, which is not a file"):
            zoo.import_state_dict(tmp_path / "pipe.pt", INDEX)
