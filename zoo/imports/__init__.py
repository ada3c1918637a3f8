"""Models trained elsewhere become models of the zoo: Keras 3 files, and the classes of the PyTorch tutorials."""

from zoo.imports.keras import import_keras
from zoo.imports.tutorials import import_state_dict

__all__ = ["import_keras", "import_state_dict"]
