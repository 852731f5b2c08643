"""Where fact values come from, and the split that keeps test values out of training.

Breadth is what teaches recall instead of classification: any English word that is one token of
the backbone's own vocabulary can be a value, besides made-up names, pairs of words, numbers, times and dates.
"""

import hashlib
import random
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
MONTHS = "January February March April May June July August September October November December".split()


def is_test_value(value: str) -> bool:
    """True for the tenth of all values that training never uses (decided by a hash of the lower-case text)."""
    return int(hashlib.sha256(value.lower().encode()).hexdigest()[:8], 16) % 10 == 0


def vocabulary_words(tokenizer) -> list[str]:
    """The words of words.txt that are one token after a space in the backbone's tokenizer, sorted."""
    lines = Path(__file__).with_name("words.txt").read_text(encoding="utf-8").splitlines()
    words = [line for line in lines if not line.startswith("#")]
    encoded = tokenizer([f" {word}" for word in words], add_special_tokens=False)["input_ids"]
    return sorted(word for word, ids in zip(words, encoded, strict=True) if len(ids) == 1)


class Values:
    """Draws values of one split ("train" or "test") with a caller's random generator.

    Kinds: "word", "name" (person or pet), "invented" (a made-up name of two to four tokens), "pair", "place", "job",
    "number", "time", "date".
    """

    def __init__(self, words: list[str], split: str):
        self.test = split == "test"
        keep = [word for word in words if is_test_value(word) == self.test]
        self.words = [word for word in keep if word[0].islower()]
        self.capitals = [word for word in keep if word[0].isupper()]
        self.names, self.places, self.jobs = (
            [value for value in group if is_test_value(value) == self.test] for group in (NAMES, PLACES, JOBS)
        )

    def _drawn(self, rng: random.Random, make) -> str:
        while is_test_value(value := make()) != self.test:
            pass
        return value

    def draw(self, rng: random.Random, kind: str) -> str:
        """One value of the given kind. Raises KeyError for an unknown kind."""
        return {
            "word": lambda: rng.choice(self.words),
            "name": lambda: rng.choice(self.names if rng.random() < 0.3 else self.capitals),
            "invented": lambda: self._drawn(rng, lambda: invented_name(rng)),
            "pair": lambda: f"{rng.choice(self.words)} {rng.choice(self.words)}",
            "place": lambda: rng.choice(self.places if rng.random() < 0.5 else self.capitals),
            "job": lambda: rng.choice(self.jobs) if self.jobs and rng.random() < 0.5 else rng.choice(self.words),
            "number": lambda: self._drawn(rng, lambda: str(rng.randrange(10, 10_000))),
            "time": lambda: self._drawn(rng, lambda: f"{rng.randrange(1, 13)}:{rng.randrange(0, 60, 5):02d}"),
            "date": lambda: self._drawn(rng, lambda: f"{rng.choice(MONTHS)} {rng.randrange(1, 29)}"),
        }[kind]()


def invented_name(rng: random.Random) -> str:
    """A pronounceable made-up name, for example "Zoravin" or "Kelimberg"."""
    body = "".join(rng.choice(SYLLABLES) for _ in range(rng.choice((1, 2, 2, 3))))
    return (body + rng.choice(ENDINGS)).capitalize()
