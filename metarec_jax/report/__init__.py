"""Results as text, LaTeX, plots and one self-contained HTML page."""

from metarec_jax.report.html import html_page
from metarec_jax.report.latex import latex_table
from metarec_jax.report.results import read_json, write_json
from metarec_jax.report.table import text_table

__all__ = [
    "html_page",
    "latex_table",
    "read_json",
    "text_table",
    "write_json",
]
