"""Shows the `>>>` examples of docstrings as code in the documentation site.

Markdown takes `>>>` for a quotation inside of quotations. `mkdocs.yml` names this file as an extension of Griffe.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

# An example: lines up to the next empty one, the first of which begins with `>>>`.
EXAMPLE = re.compile(r"^>>> .*(?:\n.*\S.*)*", re.MULTILINE)


class ExamplesAsCode(griffe.Extension):
    """Puts each example into a block of code."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = EXAMPLE.sub(r"```pycon\n\g<0>\n```", obj.docstring.value)
