"""Imports models that were trained elsewhere: Keras 3 files, and state dicts of the classes of PyTorch tutorials."""

from zoo.interop.keras import import_keras
from zoo.interop.torch_tutorials import import_state_dict

__all__ = ["import_keras", "import_state_dict"]
