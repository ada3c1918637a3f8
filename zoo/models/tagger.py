"""The sequence tagger: embedding, recurrent backbone, and a softmax or CRF over the tags of each token.

Words and characters below a bidirectional LSTM after Ling et al. (2015) and Lample et al. (2016).

Shapes: B sentences, T tokens, U distinct forms, X embedding features, D * H backbone outputs, K tags.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from zoo.batches.bucketing import group_by_length, group_for_prediction
from zoo.batches.indexers import FormIndexer
from zoo.batches.tagging import TaggingBatch, place_forms
from zoo.codec import Codec, tagger_codec
from zoo.errors import ZooError, unknown_name
from zoo.masks import padding_mask
from zoo.metrics.tagging import TaggingMetrics
from zoo.models.base import ZooModule
from zoo.models.inputs import check_sentences
from zoo.nn.backbone import RecurrentBackbone
from zoo.nn.cells import RecurrentOptions
from zoo.nn.crf import FORBIDDEN, LinearChainCRF
from zoo.nn.dropout import LockedDropout, check_probability
from zoo.nn.embeddings import FormEmbedding, gather_forms
from zoo.nn.form_cache import FormCache
from zoo.nn.losses import LanguageModelingLoss, adversarial_perturbation, ensure_gradient
from zoo.text import TOKENIZERS, UNKNOWN_ID, Inventory, Vocabulary
from zoo.text.tag_schemes import transitions
from zoo.threads import map_in_threads

HEADS = ("softmax", "crf")
CHARACTERS = 16_384  # of forms that `predict` composes at once, padding included


class SequenceTagger(ZooModule):
    """Tags each token of a sentence.

    >>> tagger = zoo.from_pretrained("pos-en-ewt")
    >>> tagger.predict(["I saw her duck ."])
    [['PRON', 'VERB', 'PRON', 'NOUN', 'PUNCT']]

    Args:
        words: the word vocabulary of the training split, `<pad>` and `<unk>` first.
        characters: its character vocabulary, likewise.
        tags: its tags.
        scheme: "BIO", "IOB1", "BIOES", "BMES" or "BILOU" where tags mark spans, which are then scored too; else None.
        tokenizer: how `predict` splits a string: "whitespace" or "characters".
        vector_words: the words that imported vectors exist for, `<pad>` and `<unk>` first (`import_vectors`).
        vector_size: their number of features.
        tune_vectors: whether training changes them.
        lowercase: whether words are looked up in lower case; characters always keep theirs.
        word_size: features of a word's own embedding.
        character_size: features of a character's embedding.
        character_output: features composed from the characters of a word, 0 for none; by default 200, but none where
            the tokens are characters themselves (`tokenizer="characters"`).
        character_encoder: "lstm", "gru" or "cnn".
        cell: the backbone's cell, a key of `zoo.CELLS`.
        hidden_size: its units per layer and direction.
        num_layers: its layers.
        bidirectional: whether it reads in both directions.
        dropout: probability of zeroing a feature before, between and after the recurrent layers.
        recurrent: further options of the recurrent layers over the sentence, not of those over characters.
        word_dropout: probability that a batch does not know a word (its characters stay).
        head: "softmax", each token by itself, or "crf", the best legal sequence.
        label_smoothing: share of the target spread over all tags (softmax only).
        adversarial: how far, relative to their length, embedded forms are moved to where the loss grows fastest, for
            a second pass that training must withstand too (Miyato et al. 2017, eq. 3-6); 0 for none. A step then
            takes twice as long.
        language_model: weight of a second task in training: each direction also says the word that it reads next
            (Rei 2017); 0 for none. For one layer: a second one has read that word already.
        learning_rate: the highest of the schedule.
        weight_decay: of the weight matrices, embeddings excepted.
        warmup: share of the steps in which the learning rate rises.

    Raises:
        ValueError: an unknown cell, head, tokenizer or character encoder (the known ones are listed), or an
            argument that the chosen head cannot honour.
    """

    unit = "sentence"

    def __init__(
        self,
        words: Sequence[str],
        characters: Sequence[str],
        tags: Sequence[str],
        *,
        scheme: str | None = None,
        tokenizer: str = "whitespace",
        vector_words: Sequence[str] = (),
        vector_size: int = 0,
        tune_vectors: bool = False,
        lowercase: bool = True,
        word_size: int = 128,
        character_size: int = 64,
        character_output: int | None = None,
        character_encoder: str = "lstm",
        cell: str = "lstm",
        hidden_size: int = 256,
        num_layers: int = 2,
        bidirectional: bool = True,
        dropout: float = 0.4,
        recurrent: RecurrentOptions = RecurrentOptions(),
        word_dropout: float = 0.2,
        head: str = "softmax",
        label_smoothing: float = 0.0,
        adversarial: float = 0.0,
        language_model: float = 0.0,
        learning_rate: float = 3e-3,
        weight_decay: float = 0.01,
        warmup: float = 0.1,
    ):
        super().__init__()
        words, characters, tags, vector_words = list(words), list(characters), list(tags), list(vector_words)
        options = RecurrentOptions.of(recurrent)
        recurrent = asdict(options)
        self.save_hyperparameters(logger=False)  # plain types; `settings` leaves out the long ones
        if head not in HEADS:
            raise unknown_name("head", head, HEADS)
        if tokenizer not in TOKENIZERS:
            raise unknown_name("tokenizer", tokenizer, TOKENIZERS)
        check_probability("label_smoothing", label_smoothing)
        if min(adversarial, language_model) < 0:
            given = f"{adversarial} and {language_model}"
            raise ZooError(f"expected adversarial and language_model of at least 0, got {given}")
        if head == "crf" and label_smoothing:
            raise ZooError("label_smoothing belongs to the softmax head: leave it out, or use head='softmax'")
        if language_model and num_layers > 1:
            raise ZooError("language_model needs num_layers=1: a second layer has read the word that it should say")
        if character_output is None:
            character_output = 0 if tokenizer == "characters" else 200
        self.tags = Inventory(tags)
        self.scheme, self.tokenizer = scheme, tokenizer
        self.tokenize = TOKENIZERS[tokenizer]
        self.indexer = FormIndexer(
            Vocabulary(words), Vocabulary(characters), Vocabulary(vector_words), lowercase=lowercase
        )
        self.embedding = FormEmbedding(
            len(words),
            len(characters),
            num_vectors=len(vector_words),
            word_size=word_size,
            character_size=character_size,
            character_output=character_output,
            character_encoder=character_encoder,
            vector_size=vector_size,
            tune_vectors=tune_vectors,
            word_dropout=word_dropout,
        )
        self._cache = FormCache()
        self.dropout = LockedDropout(dropout)
        self.backbone = RecurrentBackbone(
            self.embedding.output_size,
            hidden_size,
            cell=cell,
            num_layers=num_layers,
            bidirectional=bidirectional,
            dropout=dropout,
            options=options,
        )
        self.head = nn.Linear(self.backbone.output_size, len(tags))
        self.crf = None
        if head == "crf":
            self.crf = LinearChainCRF(len(tags), transitions(tags, scheme) if scheme else None)
        self.neighbours = None
        if language_model:
            self.neighbours = LanguageModelingLoss(hidden_size, len(words), word_size, bidirectional=bidirectional)
        self.label_smoothing, self.adversarial, self.language_model = label_smoothing, adversarial, language_model
        self.learning_rate, self.weight_decay, self.warmup = learning_rate, weight_decay, warmup
        self.monitor = "val/span_f1" if scheme else "val/accuracy"
        self.metrics = nn.ModuleDict({stage: TaggingMetrics(tags, scheme) for stage in ("val", "test")})

    @property
    def codec(self) -> Codec:
        return tagger_codec(self.indexer, self.tags, self.scheme, self.tokenizer)

    def import_vectors(self, table: Tensor) -> None:
        """Copies imported vectors: `(len(vector_words) - 2, vector_size)`, without the two special entries."""
        self.embedding.import_vectors(table)

    def forward(self, batch: TaggingBatch) -> Tensor:
        """The score of each tag at each position: a batch -> `(B, T, K)`."""
        return self.score(self.embedding(batch.forms), batch.form_ids, batch.lengths)

    def score(self, forms: Tensor, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Embedded forms `(U, X)`, their positions `tokens (B, T)` and `lengths (B,)` -> `(B, T, K)`."""
        return self.head(self.encode(forms, tokens, lengths))

    def encode(self, forms: Tensor, tokens: Tensor, lengths: Tensor) -> Tensor:
        """The same -> what the head reads, `(B, T, D * H)`."""
        x = self.dropout(gather_forms(forms, tokens))  # (B, T, X)
        return self.dropout(self.backbone(x, lengths).sequence)

    def loss(self, scores: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        """Mean negative log-likelihood per token.

        Tags that training never had do not count (softmax), nor do sentences whose gold breaks its scheme (CRF).
        """
        if self.crf is not None:
            log_likelihood = self.crf(scores, tags.clamp(max=len(self.tags) - 1), lengths)  # (B,)
            legal = log_likelihood > FORBIDDEN / 2  # gold that breaks its scheme is impossible: it teaches nothing
            return -log_likelihood.masked_fill(~legal, 0.0).sum() / (lengths * legal).sum().clamp(min=1)
        counted = padding_mask(lengths, tags.shape[1]) & (tags < len(self.tags))  # (B, T)
        targets = tags.masked_fill(~counted, -100)
        return F.cross_entropy(scores.float().flatten(0, 1), targets.flatten(), label_smoothing=self.label_smoothing)

    def decode(self, scores: Tensor, lengths: Tensor) -> Tensor:
        """The best tags: `(B, T, K)` -> `(B, T)`."""
        return scores.argmax(-1) if self.crf is None else self.crf.decode(scores, lengths)

    def training_step(self, batch: TaggingBatch, _) -> Tensor:
        forms = self.embedding(batch.forms)  # (U, X)
        if self.adversarial:
            forms = ensure_gradient(forms)
        sequence = self.encode(forms, batch.form_ids, batch.lengths)  # (B, T, D * H)
        loss = self.loss(self.head(sequence), batch.tag_ids, batch.lengths)
        if self.adversarial:
            worse = forms + adversarial_perturbation(loss, forms, self.adversarial)
            worst = self.loss(self.score(worse, batch.form_ids, batch.lengths), batch.tag_ids, batch.lengths)
            loss = (loss + worst) / 2
        if self.neighbours is not None:
            words = batch.forms.word_ids[batch.form_ids]  # (B, T)
            others = self.neighbours(sequence, words, batch.lengths, self.embedding.words.weight)
            loss = loss + self.language_model * others
        return loss

    def _evaluate(self, stage: str, batch: TaggingBatch) -> None:
        scores = self(batch)
        unknown = (batch.forms.word_ids == UNKNOWN_ID)[batch.form_ids]  # (B, T)
        self.metrics[stage].update(self.decode(scores, batch.lengths), batch.tag_ids, batch.lengths, unknown)
        loss = self.loss(scores, batch.tag_ids, batch.lengths)
        self.log(f"{stage}/loss", loss, batch_size=int(batch.lengths.sum()), on_epoch=True, sync_dist=True)

    @torch.inference_mode()
    def predict(self, inputs: Sequence[str | Sequence[str]], *, max_tokens: int = 4096) -> list[list[str]]:
        """Tags sentences, in the given order, on the device and under the autocast that are in force.

        Args:
            inputs: sentences, as strings or as lists of tokens. An empty one gives an empty list in its place. Several
                sentences in one input are tagged as one long sentence, slightly worse than each by itself.
            max_tokens: the token budget of a batch; as many batches are in work as torch has threads. Memory grows with
                both, results do not change.

        Returns:
            A list of tags for each input, as long as its tokens.

        Raises:
            ZooError: inputs that are no sentences, or a token that is empty.
        """
        sentences = [self.tokenize(item) if isinstance(item, str) else item for item in check_sentences(inputs)]
        tags: list[list[str]] = [[] for _ in sentences]
        lengths = [len(sentence) for sentence in sentences]
        rows = [row for row, length in enumerate(lengths) if length]
        if not rows:
            return tags
        model = self.in_evaluation()
        forms: dict[str, int] = {}
        positions = place_forms(sentences, forms)
        table = model._embed(list(forms))  # (U, X)

        def tag(rows: list[int]) -> None:
            tokens = pad_sequence([positions[row] for row in rows], batch_first=True).to(model.device)  # (B, T)
            on_device = torch.tensor([lengths[row] for row in rows], device=model.device)  # (B,)
            best = model.decode(model.score(table, tokens, on_device), on_device).tolist()
            for row, ids in zip(rows, best, strict=True):
                tags[row] = [model.tags[i] for i in ids[: lengths[row]]]

        map_in_threads(tag, group_for_prediction(lengths, max_tokens, model.device, rows), model.device)
        return tags

    def _embed(self, forms: list[str]) -> Tensor:
        """Distinct forms -> `(U, X)`; what is composed of characters may be from an earlier call."""
        composed = None
        if self.embedding.characters is not None:
            composed = self._cache.vectors(self.embedding.characters, forms, self._compose)  # (U, E)
        words, vectors = self.indexer.ids(forms)
        return self.embedding.join(words.to(self.device), vectors.to(self.device), composed)

    def _compose(self, encoder: nn.Module, forms: list[str]) -> Tensor:
        """Distinct forms -> what an encoder composes of their characters, `(U, E)`."""
        batches = group_by_length([len(form) for form in forms], max_tokens=CHARACTERS)

        def compose(rows: list[int]) -> Tensor:
            characters, lengths = self.indexer.spell([forms[row] for row in rows])
            return encoder(characters.to(self.device), lengths.to(self.device))

        parts = map_in_threads(compose, batches, self.device)
        order = torch.tensor([row for rows in batches for row in rows], device=self.device)  # (U,)
        return torch.cat(parts)[order.argsort()]
