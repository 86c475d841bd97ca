"""The site: `make docs` builds it from the Markdown here into build/docs.

Sphinx, because its Python domain makes every name of the API something that a page can link to and
the build can check; MyST, because the pages stay Markdown for whoever reads them in the repository;
Furo, because it brings everything along and asks no other host for scripts or fonts.
"""

import os
import sys
from importlib.metadata import version as version_of
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

project = "sharedmap"
author = "The sharedmap authors"
copyright = "The sharedmap authors, Apache-2.0"
release = version_of("sharedmap")

extensions = [
    "myst_parser",
    "sphinx_copybutton",
    "sphinxext.opengraph",
    "_site.plots",
    "_site.reference",
    "_site.links",
]
exclude_patterns = ["_site"]
source_suffix = {".md": "markdown"}

myst_enable_extensions = ["colon_fence"]
# As code hosts name them, so that one link leads to the same place here and there.
myst_heading_anchors = 4

# What is copied from a terminal session is what was typed.
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True

# Where the site will be is not known here; a host that builds it says so. Cards need a font.
ogp_site_url = os.environ.get("READTHEDOCS_CANONICAL_URL", "/")
ogp_site_name = "sharedmap"
ogp_enable_meta_description = True
ogp_social_cards = {"enable": False}

add_module_names = False
python_maximum_signature_line_length = 100
highlight_language = "text"
pygments_style = "default"
pygments_dark_style = "github-dark"

html_theme = "furo"
html_title = f"sharedmap {release}"
html_static_path = ["_site/static"]
html_css_files = ["site.css"]
html_favicon = "_site/static/favicon.svg"
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True, "footer_icons": []}


def setup(app):
    def language(app, page, template, context, tree):
        # Browsers choose the shapes of characters by it.
        if page.startswith("zh/"):
            context["language"] = "zh-CN"

    app.connect("html-page-context", language)
