"""On a GPU: every cell and kernel in fp32, fp16 and bf16 against fp32 on the CPU, and the classifier in 16-mixed."""

from __future__ import annotations

import os

import pytest
import pytorch_lightning as pl
import torch

from datamodules import ClassificationDataModule
from zoo import CELLS, BackboneOutput, RecurrentBackbone, RecurrentOptions, TextClassifier
from zoo.models.options import OptimizerOptions, RegularizationOptions
from zoo.nn.cells import kernel_names

# `tools/gpu_check.py` tries these tests on a CPU too.
DEVICE = os.environ.get("ZOO_TEST_DEVICE", "cuda")
if DEVICE == "cuda" and not torch.cuda.is_available():
    pytest.skip("these tests need a GPU, and there is none", allow_module_level=True)

INPUTS, UNITS = 8, 16
KERNELS = [(cell, kernel) for cell in CELLS for kernel in ("auto", *kernel_names(cell))]
PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
# The largest distance, relative to the norm.
TOLERANCES = {"fp32": 1e-4, "fp16": 2e-2, "bf16": 1e-1}
EVERY_KERNEL = pytest.mark.parametrize("cell, kernel", KERNELS)
EVERY_PRECISION = pytest.mark.parametrize("precision", PRECISIONS)
EVERY_SHAPE = pytest.mark.parametrize("layers, bidirectional", [(1, False), (2, True)])


@pytest.fixture(autouse=True)
def fp32_is_no_tf32(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def make(cell: str, kernel: str, layers: int = 2, bidirectional: bool = True) -> RecurrentBackbone:
    torch.manual_seed(0)
    options = RecurrentOptions(kernel=kernel)
    backbone = RecurrentBackbone(
        INPUTS, UNITS, cell=cell, num_layers=layers, bidirectional=bidirectional, options=options
    )
    for name, parameter in backbone.named_parameters():
        if "bias" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    return backbone


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Rows with and without padding, and one of nothing but it."""
    lengths = torch.tensor([12, 1, 7, 12, 0])
    return torch.randn(5, 12, INPUTS, generator=torch.Generator().manual_seed(0)), lengths


def on_the_device(
    backbone: RecurrentBackbone, x: torch.Tensor, lengths: torch.Tensor, precision: str
) -> BackboneOutput:
    half = precision != "fp32"
    with torch.autocast(DEVICE, PRECISIONS[precision] if half else None, enabled=half):
        return backbone(x.to(DEVICE), lengths.to(DEVICE))


def parts(encoded: BackboneOutput) -> list[torch.Tensor]:
    return [encoded.sequence, encoded.final, *(part for state in encoded.state for part in state)]


def learned(backbone: RecurrentBackbone, encoded: BackboneOutput) -> list[torch.Tensor]:
    """The gradients of all parameters."""
    loss = sum(part.float().tanh().mean() for part in parts(encoded))
    return list(torch.autograd.grad(loss, list(backbone.parameters())))


def close(found: list[torch.Tensor], expected: list[torch.Tensor], tolerance: float) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        ours, theirs = (x.detach().cpu().float() for x in (ours, theirs))
        # This also fails for NaN.
        assert (ours - theirs).norm() <= tolerance * theirs.norm()


@EVERY_PRECISION
@EVERY_SHAPE
@EVERY_KERNEL
def test_values_and_gradients_are_those_of_fp32_on_the_cpu(cell, kernel, layers, bidirectional, precision):
    reference = make(cell, "steps", layers, bidirectional)
    backbone, (x, lengths) = make(cell, kernel, layers, bidirectional).to(DEVICE), batch()
    expected, found = reference(x, lengths), on_the_device(backbone, x, lengths, precision)
    assert all(part.device.type == DEVICE for part in parts(found))
    close(parts(found), parts(expected), TOLERANCES[precision])
    gradients = learned(backbone, found)
    assert all(gradient.isfinite().all() for gradient in gradients)
    # In half precision, a layer norm with little variance amplifies rounding errors.
    if precision == "fp32":
        close(gradients, learned(reference, expected), 1e-3)


@EVERY_PRECISION
@EVERY_SHAPE
@EVERY_KERNEL
def test_inference_equals_training(cell, kernel, layers, bidirectional, precision):
    backbone, (x, lengths) = make(cell, kernel, layers, bidirectional).to(DEVICE), batch()
    learning = on_the_device(backbone, x, lengths, precision)
    with torch.inference_mode():
        inferred = on_the_device(backbone.eval(), x, lengths, precision)
    close(parts(inferred), parts(learning), TOLERANCES[precision])


@EVERY_PRECISION
@EVERY_KERNEL
def test_values_at_padding_reach_no_output_and_no_gradient(cell, kernel, precision):
    backbone, (clean, lengths) = make(cell, kernel).to(DEVICE), batch()
    dirty = clean.clone()
    dirty[1, 1:], dirty[2, 7:], dirty[4] = float("nan"), float("inf"), 1e30
    results = []
    for x in (clean, dirty):
        x = x.to(DEVICE).requires_grad_()
        encoded = on_the_device(backbone, x, lengths, precision)
        loss = sum(part.float().tanh().sum() for part in parts(encoded))
        to_x, *to_parameters = torch.autograd.grad(loss, [x, *backbone.parameters()])
        assert not to_x[1, 1:].any() and not to_x[2, 7:].any() and not to_x[4].any() and to_x[0].any()
        results.append([*parts(encoded), to_x, *to_parameters])
    # This also fails for NaN.
    torch.testing.assert_close(*results)


@EVERY_PRECISION
@EVERY_KERNEL
def test_large_inputs_do_not_overflow(cell, kernel, precision):
    backbone, (x, lengths) = make(cell, kernel).to(DEVICE), batch()
    encoded = on_the_device(backbone, 300 * x, lengths, precision)
    assert all(part.isfinite().all() for part in parts(encoded))
    assert all(gradient.isfinite().all() for gradient in learned(backbone, encoded))


@pytest.mark.parametrize("cell", CELLS)
def test_the_classifier_learns_in_half_precision(cell):
    pl.seed_everything(0)
    data = ClassificationDataModule("sample-spam", min_count=1)
    regularization = RegularizationOptions(token_dropout=0.1, adversarial=0.1)
    model = TextClassifier(
        data.codec, cell=cell, embedding_size=32, hidden_size=32, regularization=regularization,
        optimizer=OptimizerOptions(learning_rate=1e-2),
    )  # fmt: skip
    trainer = pl.Trainer(
        max_epochs=5, accelerator=DEVICE, devices=1, precision="16-mixed", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, gradient_clip_val=5.0,
    )  # fmt: skip
    before = trainer.validate(model, data, verbose=False)[0]["val/loss"]
    trainer.fit(model, data)
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    assert trainer.validate(model, data, verbose=False)[0]["val/loss"] < 0.9 * before
    texts = [text.text for text in data.texts("test")]
    expected = model.cpu().predict(texts)
    with torch.autocast(DEVICE, torch.float16):
        found = model.to(DEVICE).predict(texts)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours["probabilities"] == pytest.approx(theirs["probabilities"], abs=0.05)
