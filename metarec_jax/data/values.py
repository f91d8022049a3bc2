"""What the cells of a ratings file mean, whatever types and spellings they come in: ids, numbers and times.

One rule for text files, Parquet and frames. A reader returns the values, or raises `BadCell` at the first that it
cannot read.
"""

import polars as pl

MISSING = ("", "nan", "NaN", "NAN", "None", "NULL", "null", "NA", "N/A", "<NA>", "#N/A", "NaT")  # as programs write it
_WHOLE_FLOAT = r"^(?:-?(0)|(-?[1-9][0-9]*))\.0*$"
_ROUNDED = r"^-?[0-9](\.[0-9]+)?[eE]\+[0-9]+$"  # how spreadsheets write long numbers
_EXACT = {pl.Float32: 2**24, pl.Float64: 2**53}  # from here on a float is the same as its neighbours
LARGEST, LEAST, DIGITS = 1e12, 1e-12, 1e-4  # of ratings, of their range, of that relative to them: float32 has 7 digits
_TRUTH = {"true": "1", "false": "0"}
_UNITS = ((10**11, 1, "seconds"), (10**14, 10**3, "milliseconds"), (10**17, 10**6, "microseconds"))
_NANOSECONDS = (2**63, 10**9, "nanoseconds")
_DATE = r"^([0-9]{4})[-/]([0-9]{1,2})[-/]([0-9]{1,2})[T ]?"
_CLOCKS = ("", "%H:%M", "%H:%M:%S%.f")
_TIME_REMEDY = "write seconds since 1970 or an ISO 8601 time such as 2024-01-31T12:00:00Z, or nothing if it is unknown"


class BadCell(ValueError):
    """A value that cannot be read, at a row counted from 0, or a whole column (row None)."""

    def __init__(self, row: int | None, complaint: str):
        super().__init__(complaint)
        self.row, self.complaint = row, complaint


def ids(series: pl.Series) -> pl.Series:
    """Raw ids as text. A whole float is the integer: 3.0 is 3, in text too. Other text is kept: 007 is not 7.

    Raises:
      BadCell: an id is missing (`MISSING`), is a float that is not whole or has lost digits, or the column holds
        neither text nor numbers.
    """
    if series.dtype.is_float():
        series = series.fill_nan(None)
        _refuse(series != series.floor(), "is not a whole number; ids are text or whole numbers")
        _refuse(series.abs() >= _EXACT[series.dtype.base_type()], "is a float that has lost digits; write ids as text")
        series = series.cast(pl.Int64)
    elif series.dtype == pl.Binary:  # as some programs write text to Parquet
        series = _decoded(series)
    elif not (series.dtype.is_numeric() or series.dtype in (pl.String, pl.Categorical, pl.Enum, pl.Null)):
        raise BadCell(None, f"holds {series.dtype}; ids must be text or whole numbers")
    text = series.cast(pl.String).str.strip_chars()
    missing = text.is_null() | text.is_in(MISSING)
    if count := int(missing.sum()):
        _refuse(missing, f"is missing{_in_rows(count)}; fill it in or delete the row")
    if text.str.contains(".", literal=True).any():
        text = text.str.replace(_WHOLE_FLOAT, "$1$2")
    if text.str.contains("+", literal=True).any():
        _refuse(text.str.contains(_ROUNDED), "is a number that a program has rounded; write ids as text")
    return text


def numbers(series: pl.Series, *, gaps: bool = False, decimal_comma: bool = False) -> pl.Series:
    """Numbers as float64; true and false are 1 and 0.

    Args:
      series: numbers, text or truth values.
      gaps: whether a missing value is null instead of an error.
      decimal_comma: whether 3,5 in text is 3.5.

    Raises:
      BadCell: a value is not a finite number.
    """
    if not (series.dtype.is_numeric() or series.dtype in (pl.String, pl.Boolean, pl.Null)):
        raise BadCell(None, f"holds {series.dtype}, not numbers; convert it")
    values = series.cast(pl.Float64, strict=False)
    if series.dtype == pl.String and values.has_nulls():
        text = series.str.to_lowercase().replace(_TRUTH)
        if decimal_comma:
            text = _with_point(text)
        values = text.cast(pl.Float64, strict=False)
    values = values.fill_nan(None)
    bad = values.is_null() | ~values.is_finite()
    if gaps:
        bad &= ~_missing(series)
    _refuse(bad, "is not a number; correct it or delete the row")
    return values


def ratings(series: pl.Series, *, decimal_comma: bool = False) -> pl.Series:
    """Ratings as float32, in which everything is computed; see `numbers`.

    Raises:
      BadCell: a value is not a finite number, or float32 does not hold their squares or their differences.
    """
    exact = numbers(series, decimal_comma=decimal_comma)
    _refuse(exact.abs() > LARGEST, f"is beyond {LARGEST:g}, where squares overflow; correct it or divide all ratings")
    largest = exact.abs().max() or 0.0
    spread = (exact.max() or 0.0) - (exact.min() or 0.0)
    if 0 < spread < LEAST:
        raise BadCell(None, f"holds values that differ by {spread:g} at most; multiply all of them")
    if 0 < spread < DIGITS * largest:
        raise BadCell(
            None,
            f"holds values that differ by {spread:g} at most around {exact.min():g}; subtract that from all of them",
        )
    return exact.cast(pl.Float32)


def seconds(series: pl.Series) -> pl.Series:
    """Times as int64 seconds since 1970, 0 where there is none; fractions are cut off.

    Numbers are seconds, milliseconds, microseconds or nanoseconds, whichever puts them between the years 1973 and 5138.
    Text is a number, or a date or time of ISO 8601, without a zone in UTC.

    Raises:
      BadCell: a value is not a time, or is in another unit than those above it.
    """
    if series.dtype in (pl.Datetime, pl.Date):
        return series.dt.epoch("s").fill_null(0)
    if not (series.dtype.is_numeric() or series.dtype in (pl.String, pl.Null)):
        raise BadCell(None, f"holds {series.dtype}, not times; convert it")
    missing = _missing(series)
    times = series.cast(pl.Int64, strict=False)
    if (times.is_null() & ~missing).any():
        times = times.fill_null(series.cast(pl.Float64, strict=False).cast(pl.Int64, strict=False))
    numeric = _in_seconds(times)
    if series.dtype == pl.String and (times.is_null() & ~missing).any():
        numeric = numeric.fill_null(_iso(series))
    _refuse(numeric.is_null() & ~missing, f"is not a time; {_TIME_REMEDY}")
    return numeric.fill_null(0)


def _in_seconds(times: pl.Series) -> pl.Series:
    """Whole numbers in their own unit, which must be the same for all but 0."""
    size = times.abs()
    largest = int(size.max() or 0)
    _, unit, name = next((row for row in _UNITS if largest < row[0]), _NANOSECONDS)
    if unit > 1:
        least = 10**8 * unit  # 1973
        _refuse(
            (size > 0) & (size < least), f"is not in {name} since 1970 as the largest of the times is; {_TIME_REMEDY}"
        )
    return times if unit == 1 else times // unit


def _iso(text: pl.Series) -> pl.Series:
    """Seconds of dates and times of ISO 8601; null where it is none."""
    text = text.str.replace(_DATE, "$1-$2-$3 ").str.replace(r" ?UTC$", "Z").str.strip_chars()
    read = pl.Series([None], dtype=pl.Int64).extend_constant(None, len(text) - 1)
    for clock in _CLOCKS:
        day = f"%Y-%m-%d {clock}".strip()
        read = read.fill_null(text.str.to_datetime(day, strict=False, time_unit="us").dt.epoch("s"))
    zoned = text.str.to_datetime(f"%Y-%m-%d {_CLOCKS[-1]}%#z", strict=False, time_unit="us")
    return read.fill_null(zoned.dt.epoch("s"))


def _with_point(text: pl.Series) -> pl.Series:
    """3,5 as 3.5; where every comma has three digits behind it, it may part thousands."""
    comma = text.str.contains(r"^[+-]?[0-9]+,[0-9]+$")
    if comma.any() and text.filter(comma).str.contains(r",[0-9]{3}$").all():
        _refuse(comma, "may be a thousand or have three decimals; write it with a decimal point")
    return text.str.replace(r"^([+-]?[0-9]+),([0-9]+)$", "$1.$2")


def _missing(series: pl.Series) -> pl.Series:
    if series.dtype == pl.String:
        return series.is_null() | series.is_in(MISSING)
    return series.is_null() | series.is_nan() if series.dtype.is_float() else series.is_null()


def _decoded(series: pl.Series) -> pl.Series:
    try:
        return series.cast(pl.String)
    except pl.exceptions.PolarsError:
        raise BadCell(None, "holds bytes that are not UTF-8 text; ids must be text or whole numbers") from None


def _in_rows(count: int) -> str:
    return f" in {count} rows, of which this is the first" if count > 1 else ""


def _refuse(bad: pl.Series, complaint: str) -> None:
    """Raise BadCell at the first row where `bad` is true; null is not."""
    row = bad.fill_null(False).arg_max()
    if row is not None and bad[row]:
        raise BadCell(row, complaint)
