"""Models trained elsewhere become models of the zoo: Keras 3 files, and the classes of the PyTorch tutorials."""

from zoo.interop.keras import import_keras
from zoo.interop.torch_tutorials import import_state_dict

__all__ = ["import_keras", "import_state_dict"]
