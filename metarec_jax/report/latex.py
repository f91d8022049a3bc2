"""Results as a LaTeX table."""

from metarec_jax.eval.metrics import by_name
from metarec_jax.report import table
from metarec_jax.report.results import Results

_SPECIAL = str.maketrans(
    {char: f"\\{char}" for char in "&%$#_{}"}
    | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}
)


def latex_table(results: Results, metric: str) -> str:
    """A `tabular` of a metric, baselines above learners, the best of each column in bold; needs no package."""
    columns = table.columns(results)
    lines = [rf"\begin{{tabular}}{{l{'r' * len(columns)}}}", r"\hline"]
    lines.append(" & ".join([escaped(by_name(metric).label), *map(escaped, columns)]) + r" \\")
    for kind in ("baseline", "learner"):
        rows = table.cells(results, metric, kind).items()
        if rows:
            lines.append(r"\hline")
        for name, cells in rows:
            texts = [cell.text.replace("±", r"$\pm$") for cell in cells]
            bold = [rf"\textbf{{{text}}}" if cell.best else text for text, cell in zip(texts, cells, strict=True)]
            lines.append(" & ".join([escaped(name), *bold]) + r" \\")
    return "\n".join([*lines, r"\hline", r"\end{tabular}"]) + "\n"


def escaped(text: str) -> str:
    """A text whose special characters LaTeX prints."""
    return text.translate(_SPECIAL)
