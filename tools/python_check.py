"""Whether models that one version of Python has saved give the same answers under another one.

python3.11 -m tools.python_check save FOLDER        saves all bundled models, and their answers
python3.13 -m tools.python_check load FOLDER        loads them, and the bundled ones, and compares the answers

The second Python needs what `pip install .` installs, and no extra.
"""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path
from typing import Any

import torch

import zoo
from zoo.models.base import ZooModule

TEXTS = {
    "en": ["I saw her duck. It wasn't funny!", "A gripping , tender film", ""],
    "zh": ["王珺珊女士，中国国籍，硕士，高级经济师。", "苹果很脆很甜，物流也快", ""],
}
ANSWERS = "answers.json"
# Scores are compared to this, as another build of torch may add in another order.
TOLERANCE = 1e-4


def main() -> None:
    command, folder = sys.argv[1], Path(sys.argv[2])
    torch.set_num_threads(1)
    if command == "save":
        save(folder)
    else:
        load(folder)


def save(folder: Path) -> None:
    """Saves all bundled models into a folder, and what they answer."""
    answers = {}
    for name in zoo.list_pretrained():
        model = zoo.from_pretrained(name)
        model.save_pretrained(folder / name)
        answers[name] = answers_of(name, model)
    content = {"python": platform.python_version(), "torch": torch.__version__, "answers": answers}
    (folder / ANSWERS).write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")


def load(folder: Path) -> None:
    """Loads the saved models and the bundled ones, and prints whether they answer alike."""
    content = json.loads((folder / ANSWERS).read_text("utf-8"))
    saved = f"Python {content['python']}, torch {content['torch']}"
    print(f"saved under {saved}; loaded under Python {platform.python_version()}, torch {torch.__version__}")
    print("| model | saved one | bundled one |")
    print("|---|---|---|")
    equal = True
    for name, expected in content["answers"].items():
        same = [alike(answers_of(name, zoo.from_pretrained(source)), expected) for source in (str(folder / name), name)]
        equal = equal and all(same)
        print(f"| {name} | {' | '.join('the same answers' if one else 'OTHER ANSWERS' for one in same)} |")
    raise SystemExit(0 if equal else 1)


def answers_of(name: str, model: ZooModule) -> Any:
    """What a model answers, as JSON has it."""
    # `predict` is a method of all models of the shelf.
    predict: Any = model.predict
    answers: Any = json.loads(json.dumps(predict(TEXTS["zh" if "-zh-" in name else "en"])))
    return answers


def alike(one: Any, other: Any) -> bool:
    """Whether two answers are equal, and their numbers to `TOLERANCE`."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(alike, one, other))
    return abs(one - other) <= TOLERANCE if isinstance(one, float) else bool(one == other)


if __name__ == "__main__":
    main()
