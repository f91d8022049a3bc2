"""Results as aligned plain text; the cells are shared with the HTML page."""

import statistics
from typing import Any, NamedTuple

from metarec_jax.eval.metrics import by_name
from metarec_jax.report import results as r
from metarec_jax.report.results import Results

WIDTH = 110  # of the plain text, in characters
UNDEFINED = "-"


class Cell(NamedTuple):
    """One figure: its text, its interval as text ("" without one), whether it is the best at its K."""

    text: str
    interval: str
    best: bool


class Change(NamedTuple):
    """A paired difference: its text, its interval as text, its verdict (better, worse, = or "")."""

    text: str
    interval: str
    verdict: str


def aligned(rows: list[list[str]]) -> list[str]:
    """Rows of texts as lines, each column as wide as its widest text."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) for row in rows]


def columns(results: Results) -> list[str]:
    """The heads of the columns: "K = 0", ..., or what else the shots are called."""
    return [k if isinstance(k, str) and k != "all" else f"K = {k}" for k in r.shots(results)]


def cells(results: Results, metric: str, kind: str) -> dict[str, list[Cell]]:
    """Name -> one Cell a K, for the learners or the baselines; the best is sought among both."""
    ks = r.shots(results)
    choose = min if by_name(metric).lower_is_better else max
    best = [choose((figures["mean"] for figures in _measured(results, metric, k)), default=None) for k in ks]
    return {
        name: [_cell(r.figures(results, name, k, metric), b) for k, b in zip(ks, best, strict=True)]
        for name in r.names(results, kind)
    }


def _measured(results: Results, metric: str, k: int | str) -> list[dict[str, Any]]:
    """The figures of everyone for whom the metric is defined at this K."""
    everyone = r.names(results, "baseline") + r.names(results, "learner")
    return [figures for name in everyone if (figures := r.figures(results, name, k, metric))]


def _cell(figures: dict[str, Any] | None, best: float | None) -> Cell:
    if figures is None:
        return Cell(UNDEFINED, "", False)
    text = f"{figures['mean']:.4f}"
    seeds = [value for value in figures.get("per_seed") or [] if r.defined(value)]
    if len(seeds) > 1:
        text += " ±" + f"{statistics.stdev(seeds):.3f}".lstrip("0")
    return Cell(text, _interval(figures, ".4f"), bool(figures["mean"] == best))


def _interval(figures: dict[str, Any], style: str) -> str:
    if not r.defined(figures["low"]):
        return ""
    return f"[{figures['low']:{style}}, {figures['high']:{style}}]"


def counts(results: Results, metric: str) -> dict[str, list[int]]:
    """{"tasks": [...], "undefined": [...]}, one a K, of the method whose metric is defined most often."""
    numbers = [
        max(((f["tasks"], f["undefined"]) for f in _measured(results, metric, k)), default=(0, 0))
        for k in r.shots(results)
    ]
    return {"tasks": [tasks for tasks, _ in numbers], "undefined": [undefined for _, undefined in numbers]}


def changes(results: Results, metric: str, against: str) -> dict[str, list[Change]]:
    """Learner -> one Change a K. `against` is "versus" (the best baseline) or "adaptation" (own K = 0)."""
    return {
        name: [change(r.find(results, name, k, against, metric), metric) for k in r.shots(results)]
        for name in r.names(results, "learner")
    }


def change(figures: dict[str, Any] | None, metric: str) -> Change:
    """A paired difference of results.json in a metric as text."""
    if not figures or not r.defined(figures["difference"]):
        return Change(UNDEFINED, "", "")
    verdict = "="
    if r.defined(figures["low"]) and (figures["low"] > 0 or figures["high"] < 0):
        verdict = "better" if (figures["high"] < 0) == by_name(metric).lower_is_better else "worse"
    return Change(f"{figures['difference']:+.4f}", _interval(figures, "+.4f"), verdict)


def opponents(results: Results, metric: str) -> list[str]:
    """The baseline that the learners are compared with at each K, UNDEFINED where there is none."""
    versus = {row["shots"]: row["versus"] for row in results["rows"] if row.get("versus")}
    return [
        versus[k].get(metric, {}).get("baseline", versus[k]["baseline"]) if k in versus else UNDEFINED
        for k in r.shots(results)
    ]


def text_table(results: Results, metric: str = "rmse") -> str:
    """Blocks of text: the figures, each learner against the best baseline, what adaptation adds, warnings."""
    ks = columns(results)
    named = [f"{k}, {name}" for k, name in zip(ks, opponents(results, metric), strict=True)]
    good = "negative" if by_name(metric).lower_is_better else "positive"
    note = f"difference in {by_name(metric).label} [95% interval], {good} is better, = not significant"
    blocks = [_main_block(results, metric) + starts(results)]
    for title, against, heads in (
        ("Against the best baseline", "versus", named),
        ("What adaptation adds, against the same learner at K = 0", "adaptation", ks),
    ):
        body = _strips(heads, changes(results, metric, against))
        if body:
            blocks.append([title, note, "", *body])
    if warnings := results.get("warnings"):
        blocks.append([f"warning: {warning}" for warning in warnings])
    return "\n\n".join("\n".join(line.rstrip() for line in block) for block in blocks) + "\n"


def starts(results: Results) -> list[str]:
    """What learners start from, one sentence a kind."""
    of_kind: dict[str, list[str]] = {}
    for row in results["rows"]:
        if row.get("start") and row["name"] not in of_kind.setdefault(row["start"], []):
            of_kind[row["start"]].append(row["name"])
    return [f"From {start}: {', '.join(names)}." for start, names in of_kind.items()]


def _main_block(results: Results, metric: str) -> list[str]:
    count = counts(results, metric)
    head = [["", *(f"{name} " for name in columns(results))], ["tasks", *(f"{n} " for n in count["tasks"])]]
    if any(count["undefined"]):
        head.append(["undefined", *(f"{n} " for n in count["undefined"])])
    groups = [head]
    for kind in ("baseline", "learner"):
        table = cells(results, metric, kind).items()
        groups.append([[name, *(c.text + ("*" if c.best else " ") for c in row)] for name, row in table])
    lines = iter(align([row for group in groups for row in group]))
    title = f"{by_name(metric).label} on the test tasks ({by_name(metric).direction}, * best of the column)"
    if len(results["seeds"]) > 1:
        title += f", ± deviation over {len(results['seeds'])} seeds"
    block = [f"{results['dataset'].get('name', '')}, {results['experiment']}", title]
    for group in groups:
        part = [next(lines) for _ in group]
        if part:
            block += ["-" * len(part[0]) if block[2:] else "", *part]
    return block


def align(rows: list[list[str]]) -> list[str]:
    """Rows of equal length -> lines: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    gap = "  " if sum(widths) + 2 * len(widths[1:]) <= WIDTH else " "
    return [
        gap.join([row[0].ljust(widths[0]), *(t.rjust(w) for t, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]


def _strips(heads: list[str], table: dict[str, list[Change]]) -> list[str]:
    """As many columns of changes side by side as fit WIDTH; columns without a figure are left out."""
    stack = []
    for index, head in enumerate(heads):
        column = [row[index] for row in table.values()]
        if any(change.verdict for change in column):
            texts = [" ".join(part for part in change if part) for change in column]
            width = max(map(len, [head, *texts]))
            stack.append([text.ljust(width) for text in [head, *texts]])
    names = ["", *table]
    name_width = max(map(len, names))
    lines: list[str] = []
    while stack:
        strip, total = [], name_width
        while stack and (not strip or total + 3 + len(stack[0][0]) <= WIDTH):
            strip.append(stack.pop(0))
            total += 3 + len(strip[-1][0])
        lines += [""] if lines else []
        for name, *row in zip(names, *strip, strict=True):
            lines.append("   ".join([name.ljust(name_width), *row]))
    return lines
