"""Talk that carries no fact: what surrounds facts in a conversation, and prompts for ordinary answers."""

import csv
import gzip
import random
import re
from pathlib import Path

from .phrasebook import said

LINES = (
    "Hi there!", "Good morning!", "How are you today?", "I had a long day.", "The weather is nice today.",
    "I just came back from a walk.", "Thanks for your help.", "That sounds good.", "I am a bit tired.",
    "Let me think about it.", "It has been raining all week.", "I will start cooking soon.", "By the way,",
    "Oh, before I forget.", "Just so you know.", "This is important.", "Let me tell you something.",
    "I was thinking about it yesterday.", "Anyway, that is all for now.", "I hope you are doing well.",
    "I enjoy talking with you.", "I have been busy lately.", "My week was quite calm.",
    "I am looking forward to it.", "You never know what comes next.", "I read a good article this morning.",
    "It made me smile.", "What a day!", "I should get some rest later.", "I am making some tea.",
    "We had a lot of fun.", "It was a surprise for everyone.", "I am still learning.",
    "That took me a while to decide.", "People often ask me about that.", "It works well for us.",
    "We are all very happy with it.", "I think you will like it.", "It was not easy to choose.", "I am proud of it.",
)  # fmt: skip
OPENERS = (
    "By the way, ", "Just so you know, ", "Please remember: ", "Note that ", "Oh, and ", "Also, ", "One more thing: ",
    "For your information, ", "I should mention that ", "Did I tell you? ", "Listen, ", "So, ", "Well, ", "Hey, ",
    "Remember this: ", "You should know that ", "Hi! ", "Important: ", "Keep this in mind: ",
    *said("openers"),
)  # fmt: skip
REPLIES = (
    "Okay.", "Got it.", "Thanks, I will remember that.", "That is good to know.", "Noted.", "Nice!", "I see.",
    "Great, thank you for telling me.", "Understood.", "Sounds good.", "Thank you for sharing that with me.",
    "How nice! Is there anything else you would like to tell me?", "Thanks for letting me know. How can I help you?",
    "That's great! What would you like to talk about?", "All right, I have made a note of it.", "Wonderful!",
    "Of course. What else is on your mind?", "That sounds lovely.", "I'm glad to hear that.",
    "Sure, I'll keep it in mind.",
)  # fmt: skip
PROMPTS = (
    "Tell me something about {w}.", "What is {w}?", "Write one sentence about {w}.", "Explain {w} in simple words.",
    "Give me a short tip about {w}.", "Do you like {w}?", "What do people think about {w}?", "How are you?",
    "Name three facts about {w}.", "What is the capital of France?", "Can you help me with {w}?", "Tell me a joke.",
    "What can you do?", "Write a short poem about {w}.", "Why is the sky blue?", "How do I learn {w}?",
    "How does {w} work?", "Where does {w} come from?", "Who invented {w}?", "What is {w} used for?",
    "What does the word {w} mean?", "Is {w} dangerous?", "When was {w} discovered?", "Which country is known for {w}?",
    "How many kinds of {w} are there?", "Who was {w}?", "Why do people like {w}?", "Is {w} an animal?",
    "How far away is the Moon?", "Who was Albert Einstein?", "What is the tallest mountain on Earth?", "Name a river.",
    "Which language is spoken in Mexico?", "On which continent is Norway?", "Who painted The Starry Night?",
    "What is {w} + {w}?", "What do cows eat?", "What is water made of?", "How many hours are in a day?",
    "What comes after winter?", "Who wrote Hamlet?", "What is the currency of Japan?",
    "What is the boiling point of water?", "What is a group of {w} called?", "What color is {w}?",
    "Who discovered gravity?", "Which is bigger, {w} or {w}?", "What is the opposite of {w}?", "Spell {w}.",
    "Translate {w}.", "Write a story about {w}.", "Make a list of five words like {w}.", "Use {w} in a sentence.",
    "What rhymes with {w}?", "Summarize {w} in one line.", "What is the history of {w}?", "Give me an example of {w}.",
    "Compare {w} and {w}.", "What should I know about {w}?", "Why is {w} important?",
    "What is the difference between {w} and {w}?", "How can I sleep better?", "What should I cook tonight?",
    "What is two plus two?", "Write a haiku.", "Thank you!",
)  # fmt: skip
SHORT_ANSWER = (" Answer with the value only.", " Just the answer, please.", " One word is enough.", " Be brief.",
                " Reply with the answer only.", " Short answer, please.")  # fmt: skip
SHORT_ANSWER_TEST = " Give only the answer."


class SmallTalk:
    """Lines and exchanges of chat. `path`: a Synthetic-Persona-Chat CSV (plain or .gz) for more of both, or None."""

    def __init__(self, path: str | Path | None = None):
        self.lines = list(LINES)
        self.exchanges = [(line, reply) for line in LINES[:12] for reply in REPLIES]
        if path is not None:
            turns = _persona_chat_turns(Path(path))
            self.lines += [text for chat in turns for text in chat if text.endswith((".", "!")) and len(text) < 90]
            pairs = [pair for chat in turns for pair in zip(chat, chat[1:], strict=False)]
            self.exchanges = [pair for pair in pairs if len(pair[0]) + len(pair[1]) < 190]

    def wrap(self, rng: random.Random, statement: str) -> str:
        """The statement as it might stand in a message: with an opener, or between other sentences, or alone."""
        draw = rng.random()
        if draw < 0.25:
            opener = rng.choice(OPENERS)
            keeps_capital = opener.endswith(("! ", "? ")) or not re.match(
                r"(The|My|Our|We|You|It|As|In|On)\b", statement
            )
            return opener + (statement if keeps_capital else statement[0].lower() + statement[1:])
        before = rng.choice(self.lines) + " " if draw < 0.5 else ""
        after = " " + rng.choice(self.lines) if 0.4 < draw < 0.65 else ""
        return (before + statement + after).replace(", My", ", my").replace(", The", ", the")


def _persona_chat_turns(path: Path) -> list[list[str]]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8", newline="") as file:
        chats = [row["Best Generated Conversation"] for row in csv.DictReader(file)]
    cut = [[re.sub(r"^User \d: ?", "", line).strip() for line in chat.splitlines()] for chat in chats]
    return [[text for text in chat if text and "[" not in text] for chat in cut]
