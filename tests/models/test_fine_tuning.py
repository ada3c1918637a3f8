"""Training by depth: frozen parts, learning rates that fall with depth, and gradual unfreezing."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import BackboneFinetuning, BaseFinetuning, Callback, ModelCheckpoint, WeightAveraging
from unions import CASES, check_unions, classifier, tagger, translator

import zoo
from recipes.runner.averaging import moving_average
from zoo.errors import ZooError
from zoo.models.fine_tuning import FineTuningOptions
from zoo.text import Vocabulary

MODELS = {
    "tagger": lambda: tagger("sample-en-ner", num_layers=2, head="crf", recurrent={"skip": "highway"}),
    "classifier": lambda: classifier(num_layers=2, head_size=3, pooling="attention"),
    "translator": lambda: translator(encoder_layers=2, decoder_layers=2, tie_embeddings=False),
}
EVERY_MODEL = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
UNFREEZING = FineTuningOptions(unfreeze_every=1)


def trainer(**flags) -> pl.Trainer:
    options = dict(
        max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0, limit_train_batches=2, limit_val_batches=0,
        gradient_clip_val=1.0,
    )  # fmt: skip
    return pl.Trainer(**{**options, **flags})


def weights(model) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.named_parameters()}


def changed(model, before: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}


class Weights(Callback):
    """Keeps the weights before each epoch and after the last one."""

    def __init__(self):
        self.epochs = []

    def on_train_epoch_start(self, trainer, model):
        self.epochs.append(weights(model))

    def on_train_end(self, trainer, model):
        self.epochs.append(weights(model))

    def changed(self, epoch: int) -> set[str]:
        before, after = self.epochs[epoch : epoch + 2]
        return {name for name, value in after.items() if not torch.equal(value, before[name])}


# Depth


@EVERY_MODEL
def test_depths_rise_from_the_embeddings_over_the_encoder_to_the_rest(make):
    model, _ = make()
    depths = model.depths()
    assert set(depths.values()) == {0, 1, 2, 3}
    for name, depth in depths.items():
        part, _, rest = name.partition(".")
        if part in ("embedding", "embeddings"):
            assert depth == 0
        elif part in ("backbone", "encoder"):
            assert depth == (2 if rest.startswith(("layers.1", "skips.0")) else 1)
        else:
            assert depth == 3


@EVERY_MODEL
def test_learning_rates_fall_with_depth(make):
    model, data = make()
    model.use_fine_tuning(FineTuningOptions(layer_decay=0.5))
    plain, plain_data = make()
    found = []
    for each, its_data in ((model, data), (plain, plain_data)):
        run = trainer(max_steps=1)
        run.fit(each, its_data)
        groups = run.optimizers[0].param_groups
        names = {parameter: name for name, parameter in each.named_parameters()}
        flat = [(names[p], group) for group in groups for p in group["params"]]
        found.append({name: (group["initial_lr"], group["weight_decay"]) for name, group in flat})
        # Each weight is in one group, and the first group has the full learning rate.
        assert len(flat) == len(names) == len(found[-1])
        assert groups[0]["initial_lr"] == each.learning_rate
    for name, depth in model.depths().items():
        rate, decay = found[0][name]
        full, same_decay = found[1][name]
        assert full == model.learning_rate and decay == same_decay
        assert rate == pytest.approx(model.learning_rate * 0.5 ** (3 - depth))


def test_a_subclass_has_depths_of_its_own():
    class Deeper(zoo.TextClassifier):
        def depth_of(self, parameter):
            return 0 if parameter.startswith("pooling") else super().depth_of(parameter)

    model, _ = classifier(pooling="attention")
    other = Deeper(**model.arguments)
    assert {name for name, depth in other.depths().items() if depth != model.depths()[name]} == {
        name for name, _ in model.named_parameters() if name.startswith("pooling")
    }


# Freezing


@pytest.mark.parametrize("averaged", [False, True])
@pytest.mark.parametrize("frozen", ["embedding", "backbone.layers.0", "head.4.bias"])
def test_frozen_parts_stay_bit_equal_and_all_others_train(frozen, averaged):
    # With some weights, all three units of the head are inactive in both batches, and nothing below them is trained.
    torch.manual_seed(0)
    model, data = MODELS["classifier"]()
    model.use_fine_tuning(FineTuningOptions(frozen=(frozen,)))
    before = weights(model)
    average = [WeightAveraging(use_buffers=False, avg_fn=moving_average(0.9))] if averaged else []
    trainer(callbacks=average).fit(model, data)
    names = {name for name in before if name.startswith(frozen)}
    assert names and changed(model, before) == before.keys() - names
    # After the training, the model can be trained in another way.
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_vectors_that_are_not_tuned_stay_so():
    _, data = classifier()
    words = Vocabulary(("<pad>", "<unk>", "free"))
    codec = replace(data.codec, vector_words=words, vector_size=2)
    data._codec = codec
    data._encoded.clear()
    model = zoo.TextClassifier(codec, embedding_size=4, hidden_size=4)
    model.import_vectors(torch.tensor([[1.0, -1.0]]))
    model.use_fine_tuning(FineTuningOptions(frozen=("head",)))
    trainer(max_steps=1).fit(model, data)
    required = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    assert not required.pop("embedding.vectors.weight") and all(required.values())


@EVERY_MODEL
def test_depths_are_unfrozen_one_after_the_other(make):
    model, data = make()
    model.use_fine_tuning(UNFREEZING)
    kept = Weights()
    trainer(max_epochs=4, callbacks=[kept]).fit(model, data)
    depths = model.depths()
    for epoch in range(4):
        assert {depths[name] for name in kept.changed(epoch)} == set(range(3 - epoch, 4)), epoch
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_training_that_never_reaches_a_depth_says_so():
    model, data = MODELS["classifier"]()
    model.use_fine_tuning(FineTuningOptions(unfreeze_every=2))
    with pytest.warns(UserWarning, match="never trains parts of embedding, backbone in 4 epochs: train for 7 epochs"):
        trainer(max_epochs=4).fit(model, data)


def test_new_rows_that_are_frozen_are_told_of():
    model, data = classifier()
    model.untrained = ("embedding.words.weight",)
    model.use_fine_tuning(FineTuningOptions(frozen=("embedding",)))
    with pytest.warns(UserWarning, match="embedding.words.weight are frozen, but have new rows"):
        trainer(max_steps=1).fit(model, data)


def test_a_loaded_model_trains_with_dropout():
    """`from_pretrained` returns a model in evaluation mode, and Lightning does not change it."""
    model, data = classifier(dropout=0.5)
    model.eval()
    trainer(max_steps=1).fit(model, data)
    assert model.training and all(module.training for module in model.modules())


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("case", ["softmax", "class weights", "adversary"])
def test_the_gradient_is_the_mean_over_all_tokens_of_what_is_trained(case, processes, monkeypatch):
    """On two processes, gradients are dropped that one process does not compute. Clipping does not count them."""
    make = CASES[case]

    def unfreezing():
        model, data = make()
        model.use_fine_tuning(UNFREEZING)
        return model, data

    monkeypatch.setitem(CASES, case, unfreezing)
    flags = {"devices": 2, "strategy": "ddp_fork"} if processes == 2 else {}
    with pytest.warns(UserWarning, match="never trains") if processes == 1 else monkeypatch.context():
        check_unions(case, accumulate_grad_batches=3, **flags)


def test_two_processes_unfreeze_as_one():
    model, data = MODELS["classifier"]()
    model.use_fine_tuning(FineTuningOptions(unfreeze_every=1, frozen=("backbone.layers.1",)))
    before = weights(model)
    trainer(max_epochs=3, devices=2, strategy="ddp_fork").fit(model, data)
    depths = model.depths()
    expected = {name for name, depth in depths.items() if depth in (1, 3)}
    assert changed(model, before) == expected


# Resuming


class Stop(Callback):
    """Ends a training as a killed process would, after its checkpoint."""

    def __init__(self, step: int):
        self.step = step

    def on_train_batch_end(self, trainer, model, outputs, batch, index):
        if trainer.global_step == self.step:
            raise KeyboardInterrupt


@pytest.mark.parametrize("step", [2, 3, 5])
def test_a_training_resumes_exactly(step, tmp_path):
    """It stops at the end of an epoch, and within epochs of different depths."""
    options = FineTuningOptions(layer_decay=0.5, unfreeze_every=1, frozen=("pooling",))

    def run(*callbacks, path=None):
        pl.seed_everything(1, verbose=False)
        model, data = classifier(num_layers=2, dropout=0.3, pooling="attention")
        model.use_fine_tuning(options)
        saves = any(isinstance(callback, ModelCheckpoint) for callback in callbacks)
        fit = trainer(max_epochs=4, callbacks=list(callbacks), enable_checkpointing=saves)
        with suppress(SystemExit):
            fit.fit(model, data, ckpt_path=path, weights_only=True if path else None)
        return model

    whole = run(ModelCheckpoint(tmp_path / "whole", every_n_train_steps=1, save_top_k=-1))
    (path,) = (tmp_path / "whole").glob(f"*step={step}.ckpt")
    run(Stop(step))
    resumed = run(ModelCheckpoint(tmp_path / "resumed"), path=path)
    assert not changed(resumed, weights(whole))


def test_a_training_is_not_resumed_in_another_way(tmp_path):
    model, data = classifier()
    model.use_fine_tuning(FineTuningOptions(layer_decay=0.5))
    trainer(max_steps=1, enable_checkpointing=True, callbacks=[ModelCheckpoint(tmp_path, filename="one")]).fit(
        model, data
    )
    other, data = classifier()
    with pytest.raises(ZooError, match=r"began with FineTuningOptions\(layer_decay=0.5, .*: give the values"):
        trainer(max_steps=2).fit(other, data, ckpt_path=tmp_path / "one.ckpt", weights_only=True)
    assert (
        zoo.TextClassifier.load_from_checkpoint(tmp_path / "one.ckpt", weights_only=True).fine_tuning.layer_decay == 1
    )


# Lightning's callbacks


def test_lightnings_callback_unfreezes_the_backbone():
    model, data = MODELS["classifier"]()
    kept = Weights()
    finetuning = BackboneFinetuning(
        unfreeze_backbone_at_epoch=1, lambda_func=lambda epoch: 1.5, backbone_initial_lr=1e-3, should_align=False
    )
    run = trainer(max_epochs=3, callbacks=[finetuning, kept])
    run.fit(model, data)
    backbone = {name for name, _ in model.named_parameters() if name.startswith("backbone.")}
    assert kept.changed(0) == weights(model).keys() - backbone
    assert backbone <= kept.changed(1) and backbone <= kept.changed(2)
    groups = run.optimizers[0].param_groups
    # The schedule leaves the callback's group alone.
    assert groups[-1]["lr"] == pytest.approx(1.5e-3) and groups[0]["lr"] < 1e-6


def test_a_callback_of_ones_own_unfreezes_part_after_part():
    class Unfreezing(BaseFinetuning):
        def freeze_before_training(self, model):
            self.freeze([model.embedding, model.backbone])

        def finetune_function(self, model, epoch, optimizer):
            if epoch:
                part = model.backbone if epoch == 1 else model.embedding
                self.unfreeze_and_add_param_group(part, optimizer)

    model, data = classifier()
    kept = Weights()
    trainer(max_epochs=3, callbacks=[Unfreezing(), kept]).fit(model, data)
    parts = [{name.partition(".")[0] for name in kept.changed(epoch)} for epoch in range(3)]
    assert parts == [{"head"}, {"head", "backbone"}, {"head", "backbone", "embedding"}]


# Errors


@pytest.mark.parametrize(
    "options, message",
    [
        ({"layer_decay": 0.0}, "expected a layer_decay above 0 and at most 1, got 0.0"),
        ({"layer_decay": 1.5}, "got 1.5"),
        ({"unfreeze_every": -1}, "expected unfreeze_every, a number of epochs, of at least 0, got -1"),
        ({"frozen": "head"}, r"write \[head\]"),
        ({"frozen": ["heads"]}, "unknown part to freeze 'heads': did you mean 'head'"),
        ({"frozen": ["embedding", "backbone", "head"]}, "leaves nothing to train"),
        ({"decay": 0.5}, "unknown option of FineTuningOptions 'decay'"),
    ],
    ids=str,
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ZooError, match=message):
        classifier()[0].use_fine_tuning(options)
