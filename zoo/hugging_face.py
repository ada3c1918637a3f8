"""Fetches model folders from the Hugging Face hub, and pushes them there (extra `hub`).

The library `huggingface_hub` transports the files and keeps them in its cache. On plain downloads it compares sizes
alone, so each file is also compared here with the sum that the hub has for it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from zoo.errors import ZooError
from zoo.model_folder import CARD, CODEC, CONFIG, README, WEIGHTS
from zoo.packages import require_extra

FILES = (CONFIG, CODEC, WEIGHTS, CARD)
# `owner/name`, as the hub spells it, and a branch, tag or commit behind "@".
REPOSITORY = re.compile(r"(?P<repo_id>[\w-][\w.-]*/[\w-][\w.-]*)(?:@(?P<revision>[\w./-]+))?")


def fetch_folder(
    repo_id: str,
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    force_download: bool = False,
) -> Path:
    """Returns the folder of a model of the hub: that of the cache, else one that is downloaded.

    Args:
        repo_id: "owner/name".
        revision: a branch, a tag or a commit; by default "main".
        token: of a user of the hub, for private models; by default the one that `hf auth login` has stored.
        cache_dir: the folder of the cache; by default that of `huggingface_hub`.
        local_files_only: whether only the cache is read, as with `HF_HUB_OFFLINE=1` in the environment.
        force_download: whether the hub is asked even if the model is in the cache.

    Raises:
        ZooError: there is no such model, revision or file; the hub cannot be reached and the cache has no complete
            copy; or a file differs from the one that the hub describes.
    """
    hub = _library()

    def snapshot(*, cache_alone: bool) -> Path:
        folder = hub.snapshot_download(
            repo_id,
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            local_files_only=cache_alone,
            force_download=force_download and not cache_alone,
            allow_patterns=list(FILES),
            library_name="lstm-zoo",
        )
        return Path(folder)

    with _explained(repo_id, revision):
        try:
            folder = snapshot(cache_alone=not force_download)
        except hub.errors.LocalEntryNotFoundError:
            if local_files_only:
                raise
            folder = snapshot(cache_alone=False)
    for name in FILES:
        _compare_with_hub(folder / name, repo_id)
    return folder


def push_folder(
    folder: Path,
    repo_id: str,
    *,
    private: bool | None = None,
    token: str | bool | None = None,
    branch: str | None = None,
    create_pr: bool = False,
    commit_message: str | None = None,
) -> str:
    """Uploads a model folder in one commit, and makes the repository if there is none.

    Args:
        folder: a folder that `save_pretrained` wrote.
        repo_id: "owner/name".
        private: whether a new repository is private; by default what the owner has chosen on the hub.
        token: of a user of the hub; by default the one that `hf auth login` has stored.
        branch: the branch to commit to; by default "main".
        create_pr: whether to open a pull request instead.
        commit_message: by default one that names this library.

    Returns:
        The address of the commit.

    Raises:
        ZooError: the hub cannot be reached, or does not allow it.
    """
    hub = _library()
    with _explained(repo_id, branch):
        api = hub.HfApi(token=token, library_name="lstm-zoo")
        api.create_repo(repo_id, private=private, exist_ok=True)
        if branch is not None:
            api.create_branch(repo_id, branch=branch, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repo_id,
            folder_path=folder,
            revision=branch,
            create_pr=create_pr,
            commit_message=commit_message or "Push a model of lstm-zoo",
            allow_patterns=[*FILES, README],
        )
    return str(commit.pr_url if create_pr else commit.commit_url)


def _library() -> ModuleType:
    require_extra("hub")
    import huggingface_hub.errors

    return huggingface_hub


def _compare_with_hub(path: Path, repo_id: str) -> None:
    """Compares a file with the sum that the hub has for it, which is its name in the cache.

    A large file has its sha256 there, and a small one the sha1 of git, which begins with a header.
    """
    content = path.resolve()
    name = content.name
    if re.fullmatch("[0-9a-f]{64}", name):
        digest = hashlib.sha256()
    elif re.fullmatch("[0-9a-f]{40}", name):
        digest = hashlib.sha1(f"blob {content.stat().st_size}\0".encode(), usedforsecurity=False)
    else:
        # Where a file system has no links, the cache has copies under their own names. The card still has their sums.
        return
    with content.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != name:
        raise ZooError(
            f"{repo_id}: {path} differs from the file on the hub: its sum there is {name}, here {digest.hexdigest()}. "
            "Fetch it again with force_download=True"
        )


@contextmanager
def _explained(repo_id: str, revision: str | None) -> Iterator[None]:
    """Turns the errors of the library into a `ZooError` that says what to do."""
    errors = _library().errors
    name = repo_id if revision is None else f"{repo_id}@{revision}"
    try:
        yield
    except errors.GatedRepoError as error:
        raise ZooError(f"{name}: the owner decides who may load this model: ask on its page, then log in") from error
    except errors.RepositoryNotFoundError as error:
        raise ZooError(
            f"{name}: the Hugging Face hub has no such model, or it is private: check the name, or log in with "
            "`hf auth login` or token="
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ZooError(f"{name}: the model has no such revision: expected a branch, a tag or a commit") from error
    except errors.LocalEntryNotFoundError as error:
        raise ZooError(
            f"{name}: expected a complete copy in the cache, or a connection to the Hugging Face hub, got neither. "
            "Unset HF_HUB_OFFLINE and local_files_only, and try again"
        ) from error
    except errors.HFValidationError as error:
        raise ZooError(f"{name}: expected a model of the Hugging Face hub as owner/name: {error}") from error
    # Without a connection, the error is one of the HTTP client that the library has chosen.
    except (OSError, errors.HTTPError) as error:
        reason = " ".join(str(error).split())[:500]
        raise ZooError(f"{name}: the Hugging Face hub did not answer as expected: {reason}") from error
