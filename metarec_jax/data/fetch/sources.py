"""Where each data set comes from, its licence, its checksums and its official counts.

The sums of the archives of MovieLens and Omniglot are those of TensorFlow Datasets; of MovieLens-32M only GroupLens's
md5 is known. The ratings of goodbooks have no sum that is known: their address names a commit, whose files cannot
change.
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

from metarec_jax.data.sets import omniglot_pack


@dataclasses.dataclass(frozen=True)
class Spec:
    """Where a data set comes from and what it must contain."""

    urls: tuple[str, ...]  # one .zip that unpacks to the folder, or the files of the folder
    files: tuple[str, ...]  # what the loader needs
    licence: str
    sums: tuple[str, ...]  # md5 or sha256 of each url, "" where none is known
    optional: tuple[str, ...] = ()  # files that some features need, and that people add
    most: int = 2**28  # bytes that a download, and what it unpacks to, may have
    names: tuple[str, ...] = ()  # names of the files in the folder; (): as in their urls
    counts: Mapping[str, int] = dataclasses.field(default_factory=dict)  # official counts, where they are fixed
    prepare: Callable[[Path], None] | None = None  # makes `files` from the fetched files in a folder
    in_wheel: bool = False  # also in the wheel of `recbole_wheel`

    @property
    def archive(self) -> bool:
        """Whether it is one archive that unpacks to the folder."""
        return len(self.urls) == 1 and self.urls[0].endswith(".zip")


def _ratings(ratings: int, users: int | None = None, items: int | None = None) -> dict[str, int]:
    """Official counts of a ratings table, those that are given."""
    figures = {"ratings": ratings, "users": users, "rated items": items}
    return {quantity: number for quantity, number in figures.items() if number is not None}


_RAW = "https://raw.githubusercontent.com/"
_GROUPLENS = "https://files.grouplens.org/datasets/movielens/"
_STRICT = (
    "research only, no redistribution, no commercial use without permission; "
    "cite Harper and Konstan, The MovieLens Datasets, ACM TiiS 2015"
)
_SHARED = (
    "no commercial use without permission, redistribution under the same terms; "
    "cite Harper and Konstan, The MovieLens Datasets, ACM TiiS 2015"
)
_TWEETS = _RAW + "sidooms/MovieTweetings/4d8280a3f1ea83e3e23f13d1710d19f43564274f/snapshots/100K/"
_BOOKS = _RAW + "zygmuntz/goodbooks-10k/6dd165b555a7b47b2dd36743a425776e641ff50c/"
_OMNIGLOT = "https://github.com/brendenlake/omniglot/raw/master/python/"
_VINYALS = _RAW + "tristandeleu/pytorch-meta/master/torchmeta/datasets/assets/omniglot/"
_CLINC = _RAW + "clinc/oos-eval/master/data/"
_BANKING = _RAW + "PolyAI-LDN/task-specific-datasets/master/banking_data/"
_CSV = ("ratings.csv", "movies.csv")

SPECS: dict[str, Spec] = {
    "ml-100k": Spec(
        (_GROUPLENS + "ml-100k.zip",), ("u.data", "u.user", "u.item", "u.genre"), _STRICT,
        sums=("50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229",),
        optional=("poster_features.npz",), counts=_ratings(100_000, 943, 1_682), in_wheel=True,
    ),
    "ml-1m": Spec(
        (_GROUPLENS + "ml-1m.zip",), ("ratings.dat", "users.dat", "movies.dat"), _STRICT,
        sums=("a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20",),
        optional=("movies_extra.csv", "melu_split.json"), counts=_ratings(1_000_209, 6_040, 3_706),
    ),
    "ml-latest-small": Spec(
        (_GROUPLENS + "ml-latest-small.zip",), _CSV, _SHARED,
        sums=("696d65a3dfceac7c45750ad32df2c259311949efec81f0f144fdfb91ebc9e436",), counts=_ratings(100_836, 610, 9_724)
    ),
    "ml-25m": Spec(
        (_GROUPLENS + "ml-25m.zip",), _CSV, _SHARED, most=2**31,
        sums=("8b21cfb7eb1706b4ec0aac894368d90acf26ebdfb6aced3ebd4ad5bd1eb9c6aa",), counts=_ratings(25_000_095, 162_541)
    ),
    "ml-32m": Spec(
        (_GROUPLENS + "ml-32m.zip",), _CSV, _SHARED, most=2**31,
        sums=("d472be332d4daa821edc399621853b57",), counts=_ratings(32_000_204, 200_948),
    ),
    "movietweetings-100k": Spec(
        (_TWEETS + "ratings.dat", _TWEETS + "movies.dat"), ("ratings.dat", "movies.dat"),
        "MIT, Copyright (c) 2013 Simon Dooms",
        sums=(
            "c0dd868c2632d10002ebc928ddc5345f33adeaa59eca52c2941c26a2c5e36fd6",
            "e63fb84bc734e3c574f135634a40d3cbafab22b8f94f5fc0b80f80d1d2076efc",
        ),
        counts=_ratings(100_000),
    ),
    "goodbooks-10k": Spec(
        (_BOOKS + "ratings.csv", _BOOKS + "books.csv"), ("ratings.csv", "books.csv"),
        "CC BY-SA 4.0, Zygmunt Zajac: attribution, share alike",
        sums=("", "4d21d0e0433128657c752e3a3d0405ac0ec11675d6c70c64cb0abf4ab1acb76a"),
        optional=("book_genres.csv",),
    ),
    "omniglot": Spec(
        (
            _OMNIGLOT + "images_background.zip", _OMNIGLOT + "images_evaluation.zip",
            _OMNIGLOT + "one-shot-classification/all_runs.zip",
            _VINYALS + "train.json", _VINYALS + "val.json", _VINYALS + "test.json",
        ),
        (omniglot_pack.PACKED, "vinyals_train.json", "vinyals_val.json", "vinyals_test.json"),
        "MIT, Copyright (c) 2015 Brenden Lake; cite Lake, Salakhutdinov and Tenenbaum, Science 350, 2015",
        sums=(
            "ad41ab679c8b5d90b271ef46be6987cc81211774a695c29dcc5367b2b26ee640",
            "1f61a8f3366785b057fc117d9228e78a16e3d976c8953b2a10fcc74cf0609cee",
            "437c1eeab0af8484112e1b4cc0f3d541ec727f7c47b9b202da738af9dfd6c325",
            "3432d95c10f2959c3894a2bebe63f70600b5c567a912d13200699b0634d7b191",
            "4aca6cbef626e818dace533b4c46363830eaaa158f2d06e29beb3e9772258d5f",
            "c3604a268c3e6bfb5f010e839dd986d0f149bfc81a93cf5de239a0543effea86",
        ),
        names=(
            "images_background.zip", "images_evaluation.zip", "all_runs.zip",
            "vinyals_train.json", "vinyals_val.json", "vinyals_test.json",
        ),
        optional=("all_runs.zip",),
        counts={"characters": 1_623, "images": 32_460, "train": 1_028, "valid": 172, "test": 423},
        prepare=omniglot_pack.prepare,
    ),
    "clinc150": Spec(
        (_CLINC + "data_full.json", _CLINC + "domains.json"), ("data_full.json", "domains.json"),
        "CC BY 3.0; cite Larson et al., EMNLP 2019",
        sums=(
            "36923c3705a59e08fe9c3883d8bc2dd966ef93e22cb78ac41171782a698d56e0",
            "b947b579d3b8e74b06f93b01083d8efaff2888b43a3e362533bd88a6e1211b3a",
        ),
        counts={"texts": 22_500, "classes": 150},
    ),
    "banking77": Spec(
        (_BANKING + "train.csv", _BANKING + "test.csv", _BANKING + "categories.json"),
        ("train.csv", "test.csv", "categories.json"),
        "CC BY 4.0; cite Casanueva et al., NLP for ConvAI 2020",
        sums=(
            "b06e26ac675513959a63135f11b94ea7786ed02da65db93a5650d8838cbc664b",
            "d12d6e3bc4c3103966ae786dc435913c0c563dfa328f5a3646d0e62cfeeb474d",
            "53261da888122daf2d120d925458631d9619e15d82e56052e7a42e535ce32b63",
        ),
        counts={"texts": 13_083, "classes": 77},
    ),
    "huffpost": Spec(
        (_RAW + "ws-jiang/MetaPrompter_public/dea17d573a5eb4f31b3366ba1fe88b1beb865c50/data/huffpost.json",),
        ("huffpost.json",),
        "headlines of Misra's News Category Dataset, published under CC BY 4.0; cite it and Bao et al., ICLR 2020",
        sums=("2485569669dd7ec5bf1e2f7468568a1d019faeb9941205bc9fb7edae93c488d6",),
        counts={"texts": 36_900, "classes": 41},
    ),
}  # fmt: skip
