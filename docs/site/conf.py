# SPDX-License-Identifier: Apache-2.0
"""Settings of Sphinx for the site; `build.py` in this folder lays the pages out and calls it."""

from __future__ import annotations

from docutils.nodes import SkipNode, math, math_block
from pygments.lexers.shell import BashLexer
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

from monai_semigan import __version__

project = "monai_semigan"
release = version = __version__
html_title = f"monai_semigan {__version__}"
show_authors = False

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_heading_anchors = 4  # as on a code host
suppress_warnings = ["myst.header"]  # cards may skip a level
default_role = "py:obj"  # `name` in docstrings: a link where it is one, else code

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
napoleon_use_ivar = True
python_maximum_signature_line_length = 88

html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_theme_options = {"top_of_page_buttons": []}
highlight_language = "text"
pygments_style = "friendly"
html_math_renderer = "text"


def setup(app: Sphinx) -> None:
    """Show formulas as they are written, as what draws them would be fetched from a network, and color commands."""

    def visit(self: HTML5Translator, node: math | math_block) -> None:
        tag = "pre" if isinstance(node, math_block) else "code"
        self.body.append(self.starttag(node, tag, "", CLASS="formula") + self.encode(node.astext()) + f"</{tag}>")
        raise SkipNode

    app.add_lexer("console", BashLexer)  # the lines have no prompt, without which the usual one takes them for output
    app.add_html_math_renderer("text", (visit, None), (visit, None))
