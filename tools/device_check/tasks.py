"""A training step and `predict` of each task, with the models at their default sizes, on the bundled samples."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from typing import Any

import torch
from lightning_fabric.utilities import move_data_to_device

from datamodules import ClassificationDataModule, Seq2SeqDataModule, TaggingDataModule
from datamodules.base import CorpusDataModule
from tools.device_check.setting import PRECISIONS, Setting, table
from zoo import Seq2Seq, Seq2SeqSummarizer, SequenceTagger, TextClassifier
from zoo.models.base import ZooModule
from zoo.models.optim import clip_grad_norm
from zoo.models.options import CharacterOptions

TASKS = ("tagging", "tagging, CRF", "classification", "translation", "summarization")
# The tokens of a training batch.
BUDGET = 4000
STEPS = 10


def measure_tasks(setting: Setting) -> str:
    """Tokens/s, memory, use of the GPU, and synchronisations of each task in all precisions."""
    precisions = ["fp32"] if setting.tiny else list(PRECISIONS)
    points = [(task, precision) for precision in precisions for task in TASKS]
    lines = [[*points[index], *_measure(setting, *points[index])] for index in setting.points(points)]
    columns = ["task", "precision", "training, tokens/s", "MB", "GPU busy", "synchronisations a step"]
    columns += ["loss, first and last", "predict, tokens/s", "predict, GPU busy"]
    return table(columns, lines, len(points) - len(lines))


def _measure(setting: Setting, task: str, precision: str) -> list[str]:
    model, data = _task(task, setting)
    data.setup("fit")
    data.setup("test")
    # Two batches are enough to time steps.
    loader = data.train_dataloader()
    first = [batch for batch, _ in zip(loader, range(2), strict=False)]
    batches = cycle([move_data_to_device(batch, setting.device) for batch in first])
    tokens = sum(int(batch.num_tokens) for batch in first) / len(first)
    model = model.to(setting.device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    scaler = torch.amp.GradScaler(setting.device.type, enabled=precision == "fp16" and setting.on_gpu)
    losses: list[torch.Tensor] = []

    def step() -> None:
        with setting.autocast(precision):
            loss = _loss(model.training_step(next(batches), 0))
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        clip_grad_norm(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        losses.append(loss.detach())

    def steps() -> None:
        for _ in range(1 if setting.tiny else STEPS):
            step()

    (seconds,) = setting.times([steps], seconds=0.5)
    rate = tokens * (1 if setting.tiny else STEPS) / seconds
    line = [f"{rate:,.0f}", setting.peak_memory(step), setting.busy(steps, seconds), setting.synchronisations(step)]
    line.append(f"{float(losses[0]):.3f} {float(losses[-1]):.3f}")
    texts = _texts(data, setting)

    def predict() -> None:
        with setting.autocast(precision):
            # Each task's model has a `predict` of its own.
            model.predict(texts)  # type: ignore[operator]

    (seconds,) = setting.times([predict], seconds=0.5)
    tokens_read = sum(len(text.split()) for text in texts)
    return [*line, f"{tokens_read / seconds:,.0f}", setting.busy(predict, seconds)]


def _task(task: str, setting: Setting) -> tuple[ZooModule, CorpusDataModule[Any, Any]]:
    """An untrained model and its sample."""
    torch.manual_seed(0)
    budget = 200 if setting.tiny else BUDGET
    size: dict[str, Any] = {"hidden_size": 8, "embedding_size": 8} if setting.tiny else {}
    if task.startswith("tagging"):
        tagging = TaggingDataModule("sample-en-ner" if "CRF" in task else "sample-en", max_tokens=budget)
        head = "crf" if "CRF" in task else "softmax"
        characters = CharacterOptions(embedding_size=8, output_size=8) if setting.tiny else CharacterOptions()
        return SequenceTagger(tagging.codec, head=head, characters=characters, **size), tagging
    if task == "classification":
        texts = ClassificationDataModule("sample-reviews-en", max_tokens=budget)
        return TextClassifier(texts.codec, **size), texts
    size = {"encoder_size": 8, "decoder_size": 8, "embedding_size": 8} if setting.tiny else {}
    if task == "translation":
        pairs = Seq2SeqDataModule("sample-phrases", max_tokens=budget)
        return Seq2Seq(pairs.codec, **size), pairs
    pairs = Seq2SeqDataModule("sample-headlines", max_tokens=budget)
    return Seq2SeqSummarizer(pairs.codec, **size), pairs


def _texts(data: CorpusDataModule[Any, Any], setting: Setting) -> list[str]:
    """Texts to predict, of the sample's own."""
    vocabulary = getattr(data.codec, "words", None) or getattr(data.codec, "vocabulary", None) or ()
    words = [word for word in vocabulary if word.isalpha()] or ["a", "house", "by", "the", "sea"]
    count = 4 if setting.tiny else 500
    return [" ".join(words[(7 * i + j) % len(words)] for j in range(5 + i % 25)) for i in range(count)]


def _loss(outputs: Any) -> torch.Tensor:
    """The loss of what a `training_step` returned."""
    loss: torch.Tensor = outputs["loss"] if isinstance(outputs, Mapping) else outputs
    return loss
