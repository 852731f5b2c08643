"""Where fact values come from, and the split that keeps test values out of training.

Breadth is what teaches recall instead of classification: any English word that is one token of
the backbone's own vocabulary can be a value, besides made-up names, pairs of words, numbers, times and dates.
"""

import hashlib
import random
import re
from pathlib import Path

SYLLABLES = (
    "ba be bi bo bra bri ca ce ci co cra da de di do dra el fa fe fi fo ga ge gi go gra ha he hi ho in ja je jo ka ke "
    "ki ko kra la le li lo lu ma me mi mo mu na ne ni no nu or pa pe pi po pra qua ra re ri ro ru sa se shi so sta su "
    "ta te ti to tra tu ul va ve vi vo wa we wi xa ya yo za ze zi zo"
).split()
ENDINGS = "n r s l x th sh nd rn ck m t va na ra la ria nia ton ville berg field wood ley".split()
NAMES = (
    "Anna Ben Clara David Elena Felix Grace Hassan Irene Jonas Kemal Laura Miguel Nadia Oscar Priya Quentin Rosa Samir "
    "Tara Umar Vera Wendy Xavier Yuki Zoe Amir Bianca Carlos Daphne Emil Fatima Gustav Helga Ivan Joyce Karim Leila "
    "Marco Nina Olaf Paula Rafael Simone Tomas Ursula Viktor Willow Yara Zack Biscuit Pepper Luna Milo Rex Shadow "
    "Ginger Cookie Mango Tango Pixel Nova Hazel Rusty Smokey Daisy Ziggy Olive Mochi Peanut"
).split()
PLACES = (
    "Lisbon Oslo Nairobi Kyoto Lima Austin Berlin Madrid Toronto Geneva Hanoi Dublin Prague Vienna Cairo Quito Athens "
    "Denver Seattle Boston Chicago Portland Miami Dallas Zurich Warsaw Seoul Mumbai Delhi Jakarta Manila Sydney Perth "
    "Auckland Montreal Vancouver Havana Bogota Santiago Accra Lagos Tunis Rabat Dakar Riga Tallinn Vilnius Krakow "
    "Porto Seville Naples Florence Lyon Marseille Munich Hamburg Antwerp Utrecht Bergen Aarhus Malmo Tampere Norway "
    "Portugal Kenya Japan Peru Canada Iceland Chile Vietnam Morocco"
).split()
JOBS = (
    "nurse baker pilot teacher plumber lawyer farmer chemist dentist librarian carpenter electrician translator "
    "photographer gardener violinist chef journalist architect florist geologist accountant firefighter tailor "
    "programmer surgeon painter mechanic sailor editor barista jeweler welder economist historian"
).split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
SIZES = "two three four five six seven eight nine ten eleven twelve fifteen twenty thirty forty fifty".split()
STREETS = "Street Road Avenue Lane Drive Court Square Way Place Terrace Hill".split()
MONTHS = "January February March April May June July August September October November December".split()


def is_test_value(value: str) -> bool:
    """True for the tenth of all values that training never uses (decided by a hash of the lower-case text)."""
    return int(hashlib.sha256(value.lower().encode()).hexdigest()[:8], 16) % 10 == 0


def vocabulary_pieces(tokenizer) -> tuple[list[str], list[str]]:
    """(openings, continuations): the tokenizer's own letter pieces, for names that no word list holds.

    Openings are pieces that begin a word with a capital ("Bre"), continuations stand inside one ("ndor").
    """
    texts = {tokenizer.convert_tokens_to_string([token]) for token in tokenizer.get_vocab()}
    openings = sorted(text[1:] for text in texts if re.fullmatch(r" [A-Z][a-z]{1,4}", text))
    return openings, sorted(text for text in texts if re.fullmatch(r"[a-z]{2,4}", text))


def vocabulary_words(tokenizer) -> list[str]:
    """The words of words.txt that are one token after a space in the backbone's tokenizer, sorted."""
    lines = Path(__file__).with_name("words.txt").read_text(encoding="utf-8").splitlines()
    words = [line for line in lines if not line.startswith("#")]
    encoded = tokenizer([f" {word}" for word in words], add_special_tokens=False)["input_ids"]
    return sorted(word for word, ids in zip(words, encoded, strict=True) if len(ids) == 1)


class Values:
    """Draws values of one split ("train" or "test") with a caller's random generator.

    pieces: what `vocabulary_pieces` gives; without them the kind "pieces" falls back to "invented".
    """

    def __init__(self, words: list[str], split: str, pieces: tuple[list[str], list[str]] | None = None):
        self.test = split == "test"
        keep = [word for word in words if is_test_value(word) == self.test]
        self.words = [word for word in keep if word[0].islower()]
        self.capitals = [word for word in keep if word[0].isupper()]
        self.names, self.places, self.jobs = (
            [value for value in group if is_test_value(value) == self.test] for group in (NAMES, PLACES, JOBS)
        )
        self.pieces = pieces

    def _drawn(self, rng: random.Random, make) -> str:
        while is_test_value(value := make()) != self.test:
            pass
        return value

    def draw(self, rng: random.Random, kind: str) -> str:
        """One value of the given kind, a key of KINDS. Raises KeyError for an unknown kind."""
        return KINDS[kind](self, rng)

    def _pieces(self, rng: random.Random) -> str:
        if not self.pieces:
            return self._drawn(rng, lambda: invented_name(rng))
        openings, inner = self.pieces
        return self._drawn(rng, lambda: rng.choice(openings) + "".join(rng.choices(inner, k=rng.choice((1, 1, 2)))))

    def _title(self, rng: random.Random) -> str:
        form = rng.choice(("The {a} {b}", "{a} {b}", "{a} and {b}", "{a} of the {b}", "The {b} of {a}", "A {a} {b}"))
        return form.format(a=rng.choice(self.words).capitalize(), b=rng.choice(self.words).capitalize())


def _number(rng: random.Random) -> str:
    return str(rng.randrange(10, 10 ** rng.choice((2, 3, 4, 4, 5))))


def _size(rng: random.Random) -> str:
    return rng.choice(SIZES) if rng.random() < 0.5 else str(rng.randrange(2, 99))


def _code(rng: random.Random) -> str:
    letters = "".join(rng.choices("ABCDEFGHJKLMNPRSTUVWXYZ", k=rng.choice((1, 2, 2, 3))))
    return f"{letters}{rng.choice(('', '-', ' '))}{rng.randrange(1, 10 ** rng.choice((1, 2, 3)))}"


def _time(rng: random.Random) -> str:
    hour, minute = rng.randrange(1, 13), f"{rng.randrange(0, 60, 5):02d}"
    half = rng.choice(("am", "pm"))
    return rng.choice(
        (f"{hour}:{minute}", f"{hour}:{minute}", f"{hour}:{minute} {half}", f"{hour} {half}", f"{hour} o'clock")
    )


def _date(rng: random.Random) -> str:
    month, day = rng.choice(MONTHS), rng.randrange(1, 29)
    return rng.choice((f"{month} {day}", f"{month} {day}", f"{day} {month}", rng.choice(DAYS), f"the {_ordinal(day)}"))


def _ordinal(number: int) -> str:
    ending = "th" if 10 < number < 14 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


# Kind of value -> how one is drawn. "pair", "full", "title" and "street" are made of words of the right split.
KINDS = {
    "word": lambda own, rng: rng.choice(own.words),
    "capital": lambda own, rng: rng.choice(own.capitals),
    "name": lambda own, rng: rng.choice(own.names if rng.random() < 0.3 else own.capitals),
    "invented": lambda own, rng: own._drawn(rng, lambda: invented_name(rng)),
    "pieces": lambda own, rng: own._pieces(rng),
    "full": lambda own, rng: f"{rng.choice(own.names + own.capitals)} {rng.choice(own.capitals)}",
    "pair": lambda own, rng: f"{rng.choice(own.words)} {rng.choice(own.words)}",
    "title": lambda own, rng: own._title(rng),
    "place": lambda own, rng: rng.choice(own.places if rng.random() < 0.5 else own.capitals),
    "street": lambda own, rng: f"{rng.randrange(1, 200)} {rng.choice(own.capitals)} {rng.choice(STREETS)}",
    "job": lambda own, rng: rng.choice(own.jobs) if own.jobs and rng.random() < 0.5 else rng.choice(own.words),
    "number": lambda own, rng: own._drawn(rng, lambda: str(rng.randrange(10, 10_000))),
    "long number": lambda own, rng: own._drawn(rng, lambda: _number(rng)),
    "size": lambda own, rng: own._drawn(rng, lambda: _size(rng)),
    "year": lambda own, rng: own._drawn(rng, lambda: str(rng.randrange(1930, 2031))),
    "code": lambda own, rng: own._drawn(rng, lambda: _code(rng)),
    "time": lambda own, rng: own._drawn(rng, lambda: f"{rng.randrange(1, 13)}:{rng.randrange(0, 60, 5):02d}"),
    "clock": lambda own, rng: own._drawn(rng, lambda: _time(rng)),
    "date": lambda own, rng: own._drawn(rng, lambda: f"{rng.choice(MONTHS)} {rng.randrange(1, 29)}"),
    "day": lambda own, rng: own._drawn(rng, lambda: _date(rng)),
}  # fmt: skip


def invented_name(rng: random.Random) -> str:
    """A pronounceable made-up name, for example "Zoravin" or "Kelimberg"."""
    body = "".join(rng.choice(SYLLABLES) for _ in range(rng.choice((1, 2, 2, 3))))
    return (body + rng.choice(ENDINGS)).capitalize()
