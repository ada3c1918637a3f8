"""What makes two searches the same one."""

from __future__ import annotations

import json
from dataclasses import dataclass

from optuna.distributions import distribution_to_json

from recipes.search.space import Space


@dataclass(frozen=True)
class Identity:
    """What makes two searches the same one, so that the second continues the first."""

    recipe: str
    flags: tuple[str, ...]
    space: Space

    def text(self) -> str:
        """The identity as the study keeps it."""
        space = {name: json.loads(distribution_to_json(self.space[name])) for name in sorted(self.space)}
        return json.dumps({"recipe": self.recipe, "flags": list(self.flags), "space": space}, ensure_ascii=False)

    def difference(self, known: str) -> str | None:
        """How another search, whose `text` is `known`, differs from this one; None if they are the same."""
        other = json.loads(known)
        own = json.loads(self.text())
        for part, told in (("recipe", "another recipe"), ("flags", "other flags"), ("space", "another space")):
            if other[part] != own[part]:
                return f"{told} ({_difference(other[part], own[part])})"
        return None


def _difference(known: object, own: object) -> str:
    """What differs, in a few words."""
    if isinstance(known, dict) and isinstance(own, dict):
        return ", ".join(sorted(name for name in {*known, *own} if known.get(name) != own.get(name)))
    if isinstance(known, list):
        return f"it began with {' '.join(known) or 'none'}"
    return str(known)
