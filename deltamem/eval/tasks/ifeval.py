"""IFEval (Zhou et al., 2023): instructions whose following can be checked, by the checkers of lm-eval."""

import functools
import random

from ..errors import EvalError
from ..items import Conversation, Item, Row


def read(rows):
    """A conversation without history per prompt."""
    conversations = []
    for where, value in rows:
        row = Row(value, where)
        key, names = str(row.get("key", int, str)), row.texts("instruction_id_list")
        kwargs = [dict(one.value) for one in row.rows("kwargs")]
        if len(kwargs) != len(names) or not names:
            raise EvalError(
                f"{where} has {len(names)} instructions and {len(kwargs)} sets of arguments; give the published file."
            )
        # Hub copies spell out every argument of every instruction as null; both copies are one and the same data.
        kwargs = [{name: value for name, value in one.items() if value is not None} for one in kwargs]
        _check_instructions(where, names, kwargs)
        item = Item(key, row.text("prompt"), [], extra={"instructions": names, "kwargs": kwargs})
        conversations.append(Conversation(key, [], [item]))
    return conversations


def score(item, answer):
    """(the answer, scores). Instruction level: (share followed, number of instructions) of this prompt."""
    checkers = _checkers()
    given = checkers.InputExample(item.id, item.extra["instructions"], item.question, item.extra["kwargs"])
    scores = {}
    for name in ("strict", "loose"):
        random.seed(f"ifeval {item.id}")  # two prompts count "#" or "!", for which the checker draws a letter
        followed = getattr(checkers, f"test_instruction_following_{name}")(given, answer).follow_instruction_list
        scores[f"prompt_{name}"] = float(all(followed))
        scores[f"instruction_{name}"] = (sum(followed) / len(followed), len(followed))
    return answer, scores


def _check_instructions(where, names, kwargs):
    """Build every checker once, where they are installed: a wrong name or argument is told before hours of answers."""
    try:
        known = _checkers().instructions_registry.INSTRUCTION_DICT
    except EvalError:
        return  # check_packages says it
    for name, arguments in zip(names, kwargs, strict=True):
        if name not in known:
            raise EvalError(f'{where} has the instruction "{name}", unknown to lm-eval; give the published file.')
        try:
            known[name](name).build_description(**arguments)
        except Exception as error:  # each checker has its own
            raise EvalError(
                f'{where}: "{name}" takes no arguments like {arguments} ({error}); give the published file.'
            ) from error


@functools.cache
def _checkers():
    try:
        from lm_eval.tasks.ifeval import utils
    except ImportError as error:
        raise EvalError(
            f"IFEval's checkers come from lm-eval ({error}); pip install -r deltamem/eval/requirements.txt."
        ) from error
    import langdetect
    import nltk

    langdetect.DetectorFactory.seed = 0  # it draws: without, an answer's score can change from call to call
    try:
        nltk.data.find("tokenizers/punkt_tab")
    except LookupError as error:
        raise EvalError(
            "IFEval counts sentences with NLTK's punkt_tab, which is not on this machine; run "
            "`python -m nltk.downloader punkt_tab`."
        ) from error
    return utils


def check_packages():
    """Raise EvalError now rather than after hours of answers."""
    _checkers()
