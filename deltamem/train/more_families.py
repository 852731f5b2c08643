"""More families of facts, for training beside those of families.py, and some kinds that only the test uses.

Compact: wordings are separated by " | ". Slots: {k} key, {v} value, {p} a person, {o} an owner ("my", "my sister's",
"Anna's"; {y} the same in an answer: "your", ...), {s} a subject ("my sister", "Anna"; {S} in an answer). A kind that
words.KINDS does not know is itself the value.
"""

from .keys import EVENTS, LIKED, NAMED, PEOPLE, PLURALS, THINGS, TRANSPORT

NAME = ("name", "name", "capital", "invented", "pieces", "pieces", "full", "word")
THING = ("word", "word", "word", "pair", "capital")
WIDE = ("word", "word", "name", "capital", "invented", "pieces", "pair", "title", "number", "full")
TOWN = ("place", "place", "capital", "pieces", "invented", "full")
SECRET = ("word", "long number", "code", "pieces", "pair", "number", "capital")
WHEN = ("clock", "clock", "day", "day", "time", "date")

# kinds, weight, keys, told, asked, sought, answer and, where a thing has several attributes, which one it is
TRAINED = (
    (NAME, 3, NAMED,
     "{o} {k} is called {v}. | {o} {k}'s name is {v}. | the name of {o} {k} is {v}. | {v} is the name of {o} {k}. | "
     "{o} {k} is named {v}. | they named {o} {k} {v}. | {o} {k} has the name {v}. | {o} new {k} is called {v}. | "
     "did you know that {o} {k} is called {v}? | I just met {o} {k}, whose name is {v}. | "
     "{v} is what people call {o} {k}. | today I took care of {v}, {o} {k}. | {o} {k} answers to {v}.",
     "What is {o} {k} called? | What is the name of {o} {k}? | What's {o} {k}'s name? | What name does {o} {k} have? | "
     "How is {o} {k} called? | Which name did I give for {o} {k}? | What did they name {o} {k}? | "
     "What was the name of {o} {k}? | {o} {k}, what was the name?",
     "the name of {o} {k} | what {o} {k} is called | {o} {k}'s name | what I said about {o} {k}",
     "{y} {k} is called {v}."),
    (WIDE, 2, LIKED,
     "{o} favorite {k} is {v}. | {v} is {o} favorite {k}. | {o} favourite {k} is {v}. | "
     "{o} favorite {k} has to be {v}. | when people ask about {o} favorite {k}, the answer is {v}. | "
     "among all of them, {v} is {o} favorite {k}. | {o} preferred {k} is {v}. | {v} will always be {o} favorite {k}.",
     "What is {o} favorite {k}? | What's {o} favourite {k}? | Which {k} is {o} favorite? | What {k} is {o} favorite? | "
     "What did I say {o} favorite {k} was?",
     "{o} favorite {k} | what {o} favorite {k} is | which {k} is {o} favorite", "{y} favorite {k} is {v}."),
    (WIDE, 1.5, LIKED,
     "I love {v}, it is my favorite {k}. | I really like {v} as a {k}. | I am a big fan of the {k} {v}. | "
     "no {k} is better than {v} for me. | the best {k} in my opinion is {v}. | I prefer {v} over every other {k}.",
     "What is my favorite {k}? | What {k} do I like? | Which {k} do I prefer? | Which {k} do I like best? | "
     "What is the {k} that I love?",
     "my favorite {k} | the {k} I love | which {k} I prefer", "Your favorite {k} is {v}."),
    (NAME, 1.5, PEOPLE,
     "{v} is my {k}. | my {k} is {v}. | I went out with my {k} {v}. | my {k} {v} is visiting. | "
     "I am writing to {v}, who is my {k}. | {v} has been my {k} for years. | I talked to my {k}, {v}, today.",
     "Who is my {k}? | What is my {k}'s name? | What is the name of my {k}? | What's my {k} called? | "
     "Which person is my {k}?",
     "who my {k} is | my {k}'s name | the name of my {k}", "Your {k} is called {v}."),
    (TOWN, 2, ("live",),
     "{s} lives in {v}. | {s} moved to {v}. | {s} has a flat in {v}. | {s} is living in {v}. | "
     "{s} lives in the city of {v}. | {s} settled down in {v} last year. | {s} bought a house in {v}.",
     "Where does {s} live? | Which city does {s} live in? | What city is {s} living in? | Where is {s} living? | "
     "Where did {s} move to?",
     "where {s} lives | the city where {s} lives | {s}'s home town", "{S} lives in {v}."),
    (TOWN, 1, ("come from",),
     "{s} comes from {v}. | {s} is from {v}. | {s} was born in {v}. | {s} grew up in {v}. | {s} has roots in {v}.",
     "Where does {s} come from? | Where is {s} from? | Where was {s} born? | Where did {s} grow up?",
     "where {s} comes from | where {s} is from", "{S} is from {v}."),
    (TOWN, 1, ("grew up",),
     "I grew up in {v}. | I was born in {v}. | I come from {v}. | I spent my childhood in {v}. | "
     "I was raised in {v}. | my hometown is {v}.",
     "Where did I grow up? | Where was I born? | Where do I come from? | What is my hometown?",
     "where I grew up | my hometown | where I come from", "You grew up in {v}."),
    (("job", "job", "word"), 1.2, ("job",),
     "{s} works as a {v}. | {s} is a {v}. | {s} has a job as a {v}. | {s} became a {v}. | {s} is training to be a {v}.",
     "What does {s} do for a living? | What is {s}'s job? | What does {s} work as? | What job does {s} have?",
     "{s}'s job | what {s} does for a living | {s}'s profession", "{S} works as a {v}."),
    (NAME, 1.2, ("work",),
     "I work at {v}. | I work for {v}. | my company is {v}. | I have a job at {v}. | I started working at {v}. | "
     "I am employed by {v}.",
     "Where do I work? | Which company do I work for? | Who do I work for? | What company do I work at?",
     "where I work | which company I work for", "You work at {v}."),
    (NAME, 1, ("work",),
     "{s} works at {v}. | {s} works for {v}. | {s} got a job at {v}. | {s} is employed by {v}.",
     "Where does {s} work? | Which company does {s} work for? | Who does {s} work for?",
     "where {s} works | {s}'s employer", "{S} works at {v}."),
    (("size",), 1, ("age",),
     "{s} is {v} years old. | {s} turned {v} last week. | {s}'s age is {v}. | {s} just had a birthday and is {v} now.",
     "How old is {s}? | What is {s}'s age? | What age is {s}? | How old did I say {s} is?",
     "how old {s} is | {s}'s age", "{S} is {v} years old."),
    (("size",), 0.6, ("age",),
     "I am {v} years old. | I turned {v} this year. | my age is {v}. | I'm {v} now.",
     "How old am I? | What is my age? | What age am I?", "how old I am | my age", "You are {v} years old."),
    (("day", "date", "date"), 1, ("birthday",),
     "{o} birthday is on {v}. | {o} birthday is {v}. | {v} is {o} birthday. | we celebrate {o} birthday on {v}.",
     "When is {o} birthday? | What date is {o} birthday? | On which day is {o} birthday? | "
     "When do we celebrate {o} birthday?",
     "when {o} birthday is | the date of {o} birthday | {o} birthday", "{y} birthday is on {v}."),
    (("word", "word", "pair", "capital"), 0.8, ("study",),
     "I study {v}. | I am studying {v} at university. | my major is {v}. | I am taking a course in {v}.",
     "What do I study? | What am I studying? | What is my major? | Which subject do I study?",
     "what I study | my major | my field of study", "You study {v}."),
    (("capital", "word", "pieces"), 0.8, ("learn",),
     "I am learning {v}. | I started to learn {v}. | I take lessons in {v}. | I have been practicing {v}.",
     "What am I learning? | What did I start to learn? | What do I take lessons in? | Which skill am I learning?",
     "what I am learning | what I am practicing", "You are learning {v}."),
    (TOWN, 1.2, ("travel",),
     "I am going to {v} on holiday. | I am traveling to {v} next month. | I booked a trip to {v}. | "
     "my next vacation is in {v}. | we are flying to {v} in the summer. | I am planning to visit {v}.",
     "Where am I going on holiday? | Where am I traveling to? | Where is my next vacation? | Where is my trip going? | "
     "Which place do I plan to visit?",
     "where I am going on holiday | the destination of my trip | where I am traveling to", "You are going to {v}."),
    (THING, 1.2, ("bought",),
     "I bought a {v} for {p}. | I got {p} a {v}. | my present for {p} is a {v}. | I gave {p} a {v}.",
     "What did I buy for {p}? | What did I get {p}? | What is my present for {p}? | What did I give {p}?",
     "what I bought for {p} | my present for {p}", "You bought a {v} for {p}."),
    (("pair", "capital", "word", "pieces"), 0.8, ("drive",),
     "I drive a {v}. | my car is a {v}. | I own a {v}. | I bought a used {v} last month.",
     "What do I drive? | Which car do I drive? | What kind of car do I have?", "what I drive | the car I drive",
     "You drive a {v}."),
    (NAME, 1, ("married",),
     "I am married to {v}. | {v} and I got married last year. | I live together with {v}. | "
     "I am engaged to {v}.",
     "Who am I married to? | Who did I marry? | Who do I live with?",
     "who I am married to | who I live with", "You are married to {v}."),
    (SECRET, 1.5, THINGS,
     "the code for the {k} is {v}. | the password of the {k} is {v}. | the {k} has the code {v}. | "
     "to open the {k} you need {v}. | use {v} for the {k}. | {v} unlocks the {k}. | the PIN for the {k} is {v}.",
     "What is the code for the {k}? | What is the password of the {k}? | What do I need to open the {k}? | "
     "What unlocks the {k}? | Which code belongs to the {k}?",
     "the code for the {k} | what unlocks the {k} | the password of the {k}", "The code for the {k} is {v}."),
    (("code", "number", "size"), 1, EVENTS,
     "the {k} is in room {v}. | the {k} takes place in room {v}. | room {v} is booked for the {k}. | "
     "we meet in room {v} for the {k}.",
     "In which room is the {k}? | Which room is the {k} in? | What room is booked for the {k}? | "
     "Where does the {k} take place?",
     "the room of the {k} | which room the {k} is in", "The {k} is in room {v}.", "room"),
    (WHEN, 1.5, EVENTS,
     "the {k} is on {v}. | the {k} starts at {v}. | we have the {k} on {v}. | my {k} was set for {v}. | "
     "the {k} has been scheduled for {v}. | don't forget the {k} on {v}. | the date of the {k} is {v}.",
     "When is the {k}? | When does the {k} start? | When is my {k}? | What is the date of the {k}? | "
     "What time is the {k}? | For when is the {k} scheduled?",
     "when the {k} is | the time of the {k} | the date of the {k}", "The {k} is at {v}."),
    (WHEN, 1, TRANSPORT,
     "my {k} leaves at {v}. | the {k} departs at {v}. | the {k} goes at {v}. | I have to catch the {k} at {v}.",
     "When does my {k} leave? | What time does the {k} depart? | When do I have to catch the {k}?",
     "when my {k} leaves | the departure of the {k}", "The {k} leaves at {v}."),
    (("word", "word", "pair"), 1, NAMED,
     "{o} {k} is {v}. | the color of {o} {k} is {v}. | {o} {k} was painted {v}. | {v} is the color of {o} {k}.",
     "What color is {o} {k}? | What is the color of {o} {k}? | Which color does {o} {k} have?",
     "the color of {o} {k} | what color {o} {k} is", "{y} {k} is {v}.", "color"),
    (("size",), 1, PLURALS,
     "I have {v} {k}. | there are {v} {k} at my place. | I own {v} {k}. | we have {v} {k} in total.",
     "How many {k} do I have? | How many {k} are there? | What number of {k} do I have?",
     "how many {k} I have | the number of {k}", "You have {v} {k}."),
    (("street",), 0.8, ("address",),
     "I live at {v}. | my address is {v}. | {o} address is {v}. | please send it to {v}. | our office is at {v}.",
     "What is my address? | At which address do I live? | What address did I give?",
     "my address | the address I gave", "The address is {v}."),
    (NAME, 1, ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday", "tomorrow", "tonight"),
     "on {k} I will visit {v}. | I am meeting {v} on {k}. | {v} comes over on {k}. | I have dinner with {v} on {k}.",
     "Who will I meet on {k}? | Who am I meeting on {k}? | Who comes over on {k}? | Who do I see on {k}?",
     "who I am meeting on {k}", "On {k} you are meeting {v}."),
    (THING, 1, ("dinner", "lunch", "breakfast", "dessert"),
     "I had {v} for {k}. | I am cooking {v} for {k}. | I ordered {v} for {k}. | for {k} we are having {v}.",
     "What did I have for {k}? | What am I having for {k}? | What is for {k}? | What did I say about {k}?",
     "what I had for {k} | what is for {k}", "You are having {v} for {k}.", "meal"),
    (("title", "title", "full", "invented"), 1.2, ("book", "novel", "movie", "film", "song", "series", "play", "poem"),
     "I am into a {k} called {v}. | the {k} is called {v}. | I just finished the {k} {v}. | the {k} I chose is {v}. | "
     "{v} is a {k} that I like. | we are going to see the {k} {v}.",
     "What is the {k} called? | Which {k} did I mention? | What is the title of the {k}? | Which {k} do I like?",
     "the title of the {k} | which {k} I mentioned | what the {k} is called", "The {k} is called {v}."),
    (NAMED[:40], 0.8, ("who",),
     "{p} is my {v}. | my {v} is called {p}. | {p} is the name of my {v}. | I have a {v} named {p}.",
     "Who is {p}? | What is {p}? | What did I say about {p}?", "who {p} is | what {p} is", "{p} is your {v}."),
    (TOWN, 1, ("met",),
     "I met {p} in {v}. | {p} and I met in {v}. | I got to know {p} in {v}. | I ran into {p} in {v}.",
     "Where did I meet {p}? | Where did {p} and I meet? | Where did I get to know {p}?",
     "where I met {p}", "You met {p} in {v}."),
    (("word", "pair", "word"), 1.2, ("hate", "love", "fear", "miss", "want", "need", "sell", "make", "study", "eat"),
     "I {k} {v}. | what I {k} is {v}. | I really {k} {v}. | most of all I {k} {v}. | people know that I {k} {v}.",
     "What do I {k}? | What did I say I {k}? | Which thing do I {k}?", "what I {k}", "You {k} {v}."),
    (("word", "pair", "word"), 1, ("hates", "loves", "fears", "wants", "needs", "plays", "sells", "makes", "teaches"),
     "{s} {k} {v}. | what {s} {k} is {v}. | {s} really {k} {v}. | I heard that {s} {k} {v}.",
     "What is it that {s} {k}? | What did I say {s} {k}?", "what {s} {k}", "{S} {k} {v}."),
    (THING, 1, ("project",),
     "{s} is working on {v}. | the project of {s} is about {v}. | {s} is writing about {v}. | {s} gives a talk on {v}.",
     "What is {s} working on? | What is the project of {s} about? | What is {s} writing about?",
     "what {s} is working on", "{S} is working on {v}."),
    (("long number", "long number", "number"), 1,
     ("phone", "account", "customer", "order", "ticket", "member", "house"),
     "my {k} number is {v}. | the {k} number is {v}. | {v} is my {k} number. | note down my {k} number: {v}.",
     "What is my {k} number? | What's the {k} number? | Which {k} number did I give?",
     "my {k} number | the {k} number", "Your {k} number is {v}."),
    (WIDE, 1.5, (),
     "the {k} is called {v}. | {v} is the {k} we need. | I decided on {v} for the {k}. | the {k} we picked is {v}. | "
     "I set the {k} to {v}. | for the {k} we want {v}. | the right {k} would be {v}. | {o} {k} is {v}.",
     "What is the {k}? | Which {k} did we pick? | What did I decide on for the {k}? | What {k} did I mention? | "
     "What was the {k}?",
     "the {k} | which {k} we picked | what I said about the {k}", "The {k} is {v}."),
)  # fmt: skip

# Kinds of facts that training never sees.
HELD_OUT = (
    (THING, 1, ("collect",), "I collect {v} of all sorts. | I have a collection of {v}.",
     "What do I collect? | What is my collection about?", "what I collect", "You collect {v}."),
    (NAME, 1, ("umbrella", "tent", "camera", "ladder", "drill"), "I lent my {k} to {v}. | {v} borrowed my {k}.",
     "Who did I lend my {k} to? | Who borrowed my {k}?", "who borrowed my {k}", "You lent your {k} to {v}."),
    (THING, 1, ("doctor", "trainer", "lawyer"), 
     "my {k} told me to avoid {v}. | I must stay away from {v}, says my {k}.",
     "What did my {k} tell me to avoid? | What must I stay away from?", "what to avoid", "You should avoid {v}."),
    (("long number",), 1, ("sofa", "ticket", "laptop", "guitar", "lamp"), "the {k} costs {v} dollars. | I paid {v} "
     "dollars for the {k}.", "How much does the {k} cost? | What did I pay for the {k}?", "the price of the {k}",
     "The {k} costs {v} dollars."),
    (NAME, 1, ("sit",), "I sit next to {v} in class. | the person beside me in class is {v}.",
     "Who do I sit next to in class? | Who is beside me in class?", "who sits next to me", "You sit next to {v}."),
)  # fmt: skip
