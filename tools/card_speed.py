"""Measures the speed of all bundled models on an idle machine, and writes it into their cards.

OMP_NUM_THREADS=2 python tools/card_speed.py
"""

from __future__ import annotations

import zoo
from tools.bundle_model import measured_speed
from zoo.hub.sources import BUNDLED
from zoo.model_card import publish_card


def main() -> None:
    for name, card in zoo.list_pretrained().items():
        speed = measured_speed(zoo.from_pretrained(name), card["data"])
        publish_card(BUNDLED / name, {**card, "speed": speed})
        print(f"{name}: {speed['per_second']:,} {speed['unit']} per second", flush=True)


if __name__ == "__main__":
    main()
