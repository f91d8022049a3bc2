"""Which columns of a file are user, item, rating and time, and what to suggest where some are missing."""

import re

from metarec_jax.data.io.file_table import Table
from metarec_jax.data.table import DataError

COLUMNS = ("user", "item", "rating", "timestamp")
_TYPED = re.compile(r"(.*):(?:token|float)(?:_seq)?")  # a name in a header of RecBole
_RECBOLE = {"user": "user_id", "item": "item_id"}
_USUAL = {  # names in files that people have, without what is no letter or digit
    "user": "user userid uid username users person personid reviewerid customer customerid member memberid reader "
    "visitorid profile",
    "item": "item itemid iid items movie movieid film book bookid isbn product productid asin parentasin song songid "
    "track trackid artist artistid business businessid anime animeid game gameid app appid article joke recipeid title",
    "rating": "rating ratings score stars overall value rate label count counts plays playcount weight",
    "timestamp": "timestamp time ts date datetime unixreviewtime createdat reviewtime unixtime",
}


def column_names(table: Table, columns: dict[str, str], *, implicit: bool = False) -> dict[str, str]:
    """Our column name -> the table's, for every column that is read.

    A column goes by its name, in a typed header of RecBole without the type, or by its number from 1.

    Args:
      table: the file.
      columns: our column name -> the file's, where it differs.
      implicit: whether the rating may be missing.

    Raises:
      DataError: the table lacks columns, all of which are named with a suggestion, or one is given to two keys.
    """
    optional = {"timestamp", "rating"} if implicit else {"timestamp"}
    names, missing = {}, {}
    for key in COLUMNS:
        name = _resolved(table.frame.columns, key, columns.get(key))
        if name is not None:
            names[key] = name
        elif key in columns or key not in optional:
            missing[key] = columns.get(key, key)
    if missing:
        raise DataError(_complaint(table, columns, names, missing))
    for key, name in names.items():
        if others := [other for other in names if other != key and names[other] == name]:
            raise DataError(f"{table.path}: column {name!r} is given to {key} and {others[0]}; choose with --columns.")
    return names


def _resolved(existing: list[str], key: str, asked: str | None) -> str | None:
    """The column of the file, or None."""
    typed = [_TYPED.fullmatch(name) for name in existing]
    bare = {each[1]: each[0] for each in typed if each} if all(typed) else {}
    for name in (key, _RECBOLE.get(key, key)) if asked is None else (asked,):
        if name in existing:
            return name
        if name in bare:
            return bare[name]
    if asked is not None and asked.isdecimal() and 1 <= int(asked) <= len(existing):
        return existing[int(asked) - 1]
    return None


def _complaint(table: Table, columns: dict[str, str], names: dict[str, str], missing: dict[str, str]) -> str:
    lacking = ", ".join(f"{name!r} for the {key}" for key, name in missing.items())
    existing = table.frame.columns
    if existing == [str(number + 1) for number in range(len(existing))] and len(table.frame):
        shown = ", ".join(str(value)[:20] for value in table.frame.row(0)[:12])
        said = f"its first line ({shown}) looks like data, so columns go by number"
        guesses = dict(zip(COLUMNS, existing, strict=False))
    else:
        said = f"it has {table.listed()}"
        guesses = _guesses(existing, {key: names[key] for key in names if key in columns})
    text = ",".join(f"{key}={guesses[key]}" for key in COLUMNS if key in guesses)
    complaint = f"{table.path}: no column {lacking}; {said}; choose with --columns={text}"
    if list(missing) == ["rating"] and "rating" not in columns:
        complaint += "; without ratings, experiments/catalogue_ranking.py ranks what was chosen"
    return complaint + "."


def _guesses(existing: list[str], chosen: dict[str, str]) -> dict[str, str]:
    """Our column name -> what it probably is called, NAME where nothing suggests itself."""
    guesses = dict(chosen)
    for key in COLUMNS:
        free = [name for name in existing if name not in guesses.values() and "," not in name]
        plain = {re.sub(r"[^a-z0-9]", "", name.partition(":")[0].lower()): name for name in reversed(free)}
        usual = next((plain[name] for name in _USUAL[key].split() if name in plain), None)
        guess = usual or next((name for name in free if key in name.lower()), None)
        if guess is not None or key != "timestamp":
            guesses.setdefault(key, guess or "NAME")
    return guesses
