"""A module that saves itself as a folder, and publishes that folder on the Hugging Face hub."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from zoo.errors import ZooError
from zoo.hugging_face import push_folder
from zoo.model_card import model_card
from zoo.model_folder import write_model
from zoo.storage import stored_weights


class PretrainedModule(pl.LightningModule):
    """A LightningModule that `zoo.from_pretrained` makes again from what `save_pretrained` writes.

    Attributes:
        origin: what the model has taken over from the model that it is fine-tuned from, in plain types; None if it was
            trained from scratch, or loaded.
    """

    origin: Mapping[str, Any] | None = None

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments with which the model's class constructs it again, apart from the weights."""
        return dict(vars(self).get("_own_arguments", self.hparams))

    def save_pretrained(self, folder: str | Path, *, dtype: str = "float32") -> Path:
        """Writes a folder of JSON and safetensors files that `zoo.from_pretrained` loads.

        Args:
            folder: it is created if it does not exist. The files of an older model in it are replaced after all new
                files are written. A README.md that is there is kept, as it may be a user's own.
            dtype: how the weights are stored: "float32", exactly; "float16", in half the space; or "int8", in about a
                quarter of it (see `zoo.storage` for the rounding). A loaded model has fp32 weights in any case.

        Raises:
            ZooError: the dtype is unknown or cannot represent a weight, or JSON cannot represent an argument of a
                user's class.
        """
        folder = Path(folder)
        arguments = self.arguments
        self._check_arguments(arguments)
        # This codec is the constructor's argument. `self.codec` may differ where a user's class has replaced it.
        codec = arguments.pop("codec", {})
        name = type(self).__name__
        weights = stored_weights(self.state_dict(), dtype)
        parameters = sum(parameter.numel() for parameter in self.parameters())
        facts: dict[str, object] = {"parameters": parameters, "dtype": dtype}
        if self.origin is not None:
            facts["init_from"] = self.origin
        readme = model_card({"name": folder.resolve().name, **facts}, name)
        write_model(folder, name, arguments, codec=codec, weights=weights, facts=facts, readme=readme)
        return folder

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        token: str | bool | None = None,
        branch: str | None = None,
        create_pr: bool = False,
        commit_message: str | None = None,
        dtype: str = "float32",
    ) -> str:
        """Publishes the model on the Hugging Face hub, in one commit (extra `hub`).

        `zoo.from_pretrained("owner/name")` loads it from there. To publish a folder with a card and a README of your
        own, type `python -m zoo push FOLDER owner/name`.

        Args:
            repo_id: "owner/name"; a repository that does not exist is made.
            private: whether a new repository is private; by default what the owner has chosen on the hub.
            token: of a user of the hub; by default the one that `hf auth login` has stored.
            branch: the branch to commit to; by default "main".
            create_pr: whether to open a pull request instead.
            commit_message: by default one that names this library.
            dtype: how the weights are stored, as `save_pretrained` takes it.

        Returns:
            The address of the commit, or of the pull request.

        Raises:
            ZooError: as `save_pretrained` does; or the hub cannot be reached, or does not allow the commit.
        """
        with tempfile.TemporaryDirectory() as temporary:
            folder = self.save_pretrained(Path(temporary) / repo_id.rpartition("/")[2], dtype=dtype)
            return push_folder(
                folder,
                repo_id,
                private=private,
                token=token,
                branch=branch,
                create_pr=create_pr,
                commit_message=commit_message,
            )

    def _check_arguments(self, arguments: Mapping[str, object]) -> None:
        for name, value in arguments.items():
            try:
                json.dumps(value)
            except (TypeError, ValueError) as error:
                raise ZooError(
                    f"the argument {name} of {type(self).__name__} cannot be saved: expected numbers, strings, lists "
                    f"and dictionaries, got a {type(value).__name__} ({error})"
                ) from error
