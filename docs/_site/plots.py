"""Plots for light and dark pages.

A page shows `NAME.svg`, as a code host wants it. Where `NAME-dark.svg` lies beside it, the site has
both, and the theme shows the one that fits.
"""

from __future__ import annotations

from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx


def both(app: Sphinx, tree: nodes.document) -> None:
    folder = Path(app.env.doc2path(app.env.docname)).parent
    for image in [*tree.findall(nodes.image)]:
        light = image["uri"]
        dark = light.removesuffix(".svg") + "-dark.svg"
        if light.endswith(".svg") and (folder / dark).is_file():
            other = image.deepcopy()
            other["uri"] = dark
            image["classes"].append("only-light")
            other["classes"].append("only-dark")
            image.parent.insert(image.parent.index(image) + 1, other)


def setup(app: Sphinx) -> dict[str, bool]:
    # Before images are collected, so that both are copied.
    app.connect("doctree-read", both, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
