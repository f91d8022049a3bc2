"""Which column is what: by name, by number, by a typed header, by --columns."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ratings_texts import GOOD, assert_same, saved

from metarec_jax.data.io.ratings_file import COLUMNS, parse_columns, read_ratings
from metarec_jax.data.table import DataError

NUMBERED = {"user": "1", "item": "2", "rating": "3", "timestamp": "4"}


@pytest.mark.parametrize("separator", [",", "\t", ";", "|", "::"])
def test_a_file_without_a_header_keeps_its_first_row_and_columns_go_by_number(tmp_path, separator):
    text = GOOD.partition("\n")[2].replace(",", separator)
    path = saved(tmp_path, text, "r.dat" if separator == "::" else "r.csv")
    with pytest.raises(DataError, match=r"first line \(a, x, 3.5, 10\) looks like data, so columns go by number; "):
        read_ratings(path)
    with pytest.raises(DataError, match="choose with --columns=user=1,item=2,rating=3,timestamp=4"):
        read_ratings(path, {"user": "a", "item": "x", "rating": "3.5"})
    assert_same(read_ratings(path, NUMBERED), read_ratings(saved(tmp_path, GOOD, "good.csv")))
    path.write_text(path.read_text() + separator.join(["b", "y", "many", "3"]))
    with pytest.raises(DataError, match="line 4: 3 'many' is not a number"):
        read_ratings(path, NUMBERED)


def test_columns_of_a_file_with_a_header_go_by_number_too_but_by_name_first(tmp_path):
    path = saved(tmp_path, "2,who,what,stars\n1,a,x,3.5\n2,b,x,1\n")
    table = read_ratings(path, {"user": "who", "item": "3", "rating": "4"})
    assert table.user_ids.tolist() == ["a", "b"] and table.rating.tolist() == [3.5, 1]
    with pytest.raises(DataError, match="column 'what' is given to user and item"):
        read_ratings(path, {"user": "what", "item": "3", "rating": "4"})
    assert read_ratings(path, {"user": "2", "item": "what", "rating": "stars"}).user_ids.tolist() == ["1", "2"]


def test_a_typed_header_of_recbole_needs_no_columns(tmp_path):
    text = 'user_id:token\titem_id:token\trating:float\ttimestamp:float\nb\t"x\t1\t9\na\ty\t2\t5.0\n'
    for name in ("r.inter", "r.data"):
        table = read_ratings(saved(tmp_path, text, name))
        assert table.item_ids.tolist() == ['"x', "y"] and table.timestamp.tolist() == [5, 9]
    assert read_ratings(tmp_path / "r.inter", {"user": "item_id", "item": "user_id"}).user_ids.tolist() == ['"x', "y"]


@pytest.mark.parametrize(
    ("header", "suggestion"),
    [
        ("userId,movieId,rating,timestamp", "user=userId,item=movieId,rating=rating,timestamp=timestamp"),
        ("User , Item,Rating,x", "user=User,item=Item,rating=Rating"),
        ("reviewerID,asin,overall,unixReviewTime", "user=reviewerID,item=asin,rating=overall,timestamp=unixReviewTime"),
        ("a,b,c,d", "user=NAME,item=NAME,rating=NAME"),
    ],
)
def test_all_missing_columns_are_named_at_once_with_what_to_write(tmp_path, header, suggestion):
    path = saved(tmp_path, header + "\n1,2,3,4\n")
    with pytest.raises(
        DataError, match=rf"no column 'user' for the user, 'item' for the item.*={suggestion}\."
    ) as caught:
        read_ratings(path)
    if "NAME" not in suggestion:
        assert read_ratings(path, parse_columns(suggestion)).rating.tolist() == [3]
    assert "\n" not in str(caught.value)


def test_many_columns_are_not_all_shown(tmp_path):
    with pytest.raises(DataError, match="'c11' and 488 more;"):
        read_ratings(saved(tmp_path, ",".join(f"c{number}" for number in range(500)) + "\n"))


NAMES = st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters=","), min_size=1, max_size=8)


@given(columns=st.dictionaries(st.sampled_from(COLUMNS), NAMES).filter(lambda d: len({*d.values()}) == len(d)))
def test_parse_columns_inverts_its_notation(columns):
    assert parse_columns(",".join(f"{key}={name}" for key, name in columns.items())) == columns


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("user", "'user' is not of the form key=column"),
        ("user=", "not of the form"),
        ("=uid", "not of the form"),
        ("user=a,,item=b", "'' is not of the form"),
        ("user=a,user=b", "user is given twice, as 'a' and 'b'"),
        ("users=a", "unknown key 'users'; the keys are user, item, rating, timestamp"),
        ("user=a,item=a", "column 'a' of the file is given to more than one key"),
    ],
)
def test_parse_columns_refuses(text, message):
    with pytest.raises(DataError, match=message):
        parse_columns(text)


def test_read_ratings_checks_its_columns_argument(tmp_path):
    with pytest.raises(DataError, match="unknown key 'stars'"):
        read_ratings(saved(tmp_path, GOOD), {"stars": "rating"})


@given(st.text(st.sampled_from("user,item=rating \t"), max_size=30))
def test_any_text_for_columns_gives_a_dict_or_a_data_error(text):
    try:
        columns = parse_columns(text)
    except DataError as error:
        assert "\n" not in str(error)
    else:
        assert set(columns) <= set(COLUMNS) and all(columns.values())
