"""Entry points of `torch.hub`.

>>> torch.hub.load("owner/lstm-zoo", "pos_en_ewt")

Every bundled model is an entry point, with underscores for the hyphens of its name. `from_pretrained` takes any source.
"""

from functools import partial

from zoo.hub.pretrained import from_pretrained, list_pretrained

# torch.hub has this repository on the path during its call alone, so what models import later is imported here.
from zoo.models import classifier, seq2seq, summarizer, tagger  # noqa: F401

dependencies = ["torch", "pytorch_lightning", "torchmetrics", "safetensors", "sentencepiece", "lazy_loader"]

for _name in list_pretrained():
    globals()[_name.replace("-", "_")] = partial(from_pretrained, _name)
