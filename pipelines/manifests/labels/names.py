"""Genders and races as labels files write them: words and initials; codes only by a rule."""

import re
from collections.abc import Mapping

import pandas as pd

from model.errors import ManifestError, UsageError
from model.labels import GENDERS, RACES
from pipelines.manifests.labels.telling import Told

_WORDS = {
    "male": "m male males man men boy boys gentleman gentlemen",
    "female": "f female females woman women w girl girls lady ladies",
}
GENDER_WORDS = {word: gender for gender, words in _WORDS.items() for word in words.split()}
_CODE = re.compile(r"\d+|true|false")  # -1 alone says that nobody knows


def parse_codes(text: str) -> dict[str, str]:
    """`0=male,1=female` as a mapping; what stands left may be any text of the column.

    Raises:
        UsageError: it is not of that form.
    """
    codes = dict[str, str]()
    for part in text.split(","):
        code, _, name = part.partition("=")
        gender = GENDER_WORDS.get(_plain(name))
        if not code.strip() or gender is None or codes.get(_plain(code), gender) != gender:
            raise UsageError(
                f"`gender_codes` {text}: name each code once and give it male or female, as in "
                "0=male,1=female"
            )
        codes[_plain(code)] = gender
    return codes


def genders_of(texts: pd.Series, codes: Mapping[str, str], uri: str) -> tuple[pd.Series, Told]:
    """male, female or null, and what is to be told.

    Args:
        texts: of the column, empty where it is.
        codes: of `parse_codes`.
        uri: of the file, for a message.

    Raises:
        ManifestError: a code that nothing says the meaning of. A guess would swap all genders.
    """
    plain = texts.map(_plain)
    code = next((c for c in plain.unique() if not codes and _CODE.fullmatch(c)), None)
    if code is not None:
        raise ManifestError(
            f"`labels` {uri} codes gender by numbers such as {code}, and data sets differ (UTKFace "
            "has 0 = male, 1 = female; IMDB-WIKI has 0 = female, 1 = male): give `gender_codes` "
            "to jobs.ingest, for example 0=male,1=female, or write words into the file"
        )
    return _told(plain, texts, {**GENDER_WORDS, **codes}, "genders", GENDERS)


def races_of(texts: pd.Series) -> tuple[pd.Series, Told]:
    """One of `RACES` or null, and what is to be told; UTKFace's codes 0 to 4 and initials too."""
    known = {name: name for name in RACES} | {str(i): name for i, name in enumerate(RACES)}
    known |= {name[0]: name for name in RACES}
    return _told(texts.map(_plain), texts, known, "races", RACES)


def _plain(text: str) -> str:
    """Lower case without spaces and full stops around; 1.0 and 01 are the code 1."""
    text = text.strip().strip(".").strip().lower()
    number = re.fullmatch(r"0*(\d+)(?:\.0+)?", text)
    return number[1] if number else text


def _told(
    plain: pd.Series, texts: pd.Series, known: Mapping[str, str], what: str, names: tuple[str, ...]
) -> tuple[pd.Series, Told]:
    values = plain.map(known)
    kinds = pd.Series("", index=texts.index).mask(values.isna(), f"{what}_unknown")
    kinds = kinds.mask(plain == "", f"{what}_empty")
    way_out = "; `gender_codes` can say what they mean" if what == "genders" else ""
    sentences = {
        f"{what}_unknown": f"{what}: {{count}} are none of {', '.join(names)} (the first: "
        f"{{some}}); they become null{way_out}",
        f"{what}_empty": f"{what}: {{count}} are empty",
    }
    return values, Told.of(kinds, texts, sentences)
