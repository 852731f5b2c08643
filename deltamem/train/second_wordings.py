"""A second set of wordings for the test, by a writer who had seen neither training's nor the test's first ones.

For each of families.FAMILIES in order: (statements, questions). Ordinary ways to say such things occur in training too.
"""

SECOND_WORDINGS = (
    (
        (
            "By the way, my {k} goes by {v}.",
            "{v} is what we ended up naming my {k}.",
            "You haven't met my {k} yet, the name is {v}.",
            "Whenever I talk about {v}, I mean my {k}.",
        ),
        (
            "What was the name of my {k} again?",
            "Do you know what my {k} is called?",
            "I told you about my {k}, so which name did I give?",
            "How would I introduce my {k} by name?",
        ),
    ),
    (
        (
            "If I had to pick just one {k}, it would be {v} every time.",
            "Nothing beats {v}, which has been my favorite {k} for years.",
            "When it comes to my preferred {k}, I always go for {v}.",
            "I love {v} more than any other {k} out there.",
        ),
        (
            "Which {k} do I like best?",
            "Can you tell me my favorite {k}?",
            "Out of every possible {k}, what's the one I love most?",
            "Suppose someone wanted to please me, what {k} should they choose?",
        ),
    ),
    (
        (
            "We settled on {v} as the {k}.",
            "Please make a note that the {k} has been set to {v}.",
            "After a long discussion everyone agreed to use {v} for the {k}.",
            "For the {k}, just put down {v}.",
        ),
        (
            "What did we decide on for the {k}?",
            "I need the {k} now, could you give it to me?",
            "Do you still have the {k} I gave you?",
            "Sorry, I've forgotten the {k}, what was it?",
        ),
    ),
    (
        (
            "{v} has just taken over as our {k}.",
            "The person working as {k} at our place is {v}.",
            "They hired {v} to be the {k} on our team.",
            "If you ever deal with our {k}, ask for {v}.",
        ),
        (
            "Who is our {k} these days?",
            "Which person did I say holds the position of {k} here?",
            "I have to write to our {k}, so whose name goes on the letter?",
            "Can you remind me who works as the {k} with us?",
        ),
    ),
    (
        (
            "They've scheduled the {k} for {v}.",
            "Don't let me forget that the {k} starts at {v}.",
            "{v} is when the {k} takes place.",
            "I just heard the {k} got moved to {v}.",
        ),
        (
            "When is the {k}?",
            "What time did I say the {k} begins?",
            "I don't want to miss the {k}, so when should I be there?",
            "Could you check for when the {k} is planned?",
        ),
    ),
    (
        (
            "I left the {k} in the {v}.",
            "You'll find my {k} in the {v} if anyone asks.",
            "Just so we know later, the {v} is where I put the {k}.",
            "My wife stashed the {k} away in the {v} this morning.",
        ),
        (
            "Where did the {k} end up?",
            "I can't find my {k}, any idea where it is?",
            "In which place should I look for the {k}?",
            "Where's the {k} being kept?",
        ),
    ),
    (
        (
            "I asked {p} about the {k} yesterday, and the answer was {v}.",
            "As for {p}, the {k} is {v}.",
            "I found out that {p} has {v} as {k}.",
            "In case it comes up, {v} is {p}'s {k}.",
        ),
        (
            "What is {p}'s {k}?",
            "Do you happen to know the {k} of {p}?",
            "I was chatting about {p} earlier, what did I say about the {k}?",
            "Regarding {p}, which {k} did I mention?",
        ),
    ),
    (
        (
            "I moved to {v} a couple of years ago and I'm still there.",
            "My home is in {v}.",
            "We've got a little apartment over in {v}, where I've lived since college.",
            "{v} is the place I call home.",
        ),
        (
            "Where do I live?",
            "Which place is my home in?",
            "If you sent me a postcard, what town would you address it to?",
            "Do you remember where I'm living at the moment?",
        ),
    ),
    (
        (
            "I earn my living as a {v}.",
            "For the past ten years I've been employed as a {v}.",
            "My job is {v}, in case you were wondering.",
            "After school I trained to become a {v}, and that's what I still do.",
        ),
        (
            "What do I do for a living?",
            "Can you tell me what my job is?",
            "Which profession did I say I have?",
            "What kind of work pays my bills?",
        ),
    ),
    (
        (
            "Hi there, I'm {v}.",
            "You can call me {v}.",
            "My parents named me {v}.",
            "Everybody knows me as {v}, nice to meet you.",
        ),
        (
            "What's my name?",
            "Do you remember who I am?",
            "How did I introduce myself to you?",
            "What should you call me?",
        ),
    ),
    (
        (
            "I've been with {v} for a while now, that's my {k}.",
            "My {k} happens to be {v}.",
            "Last spring I switched to {v} as my {k}.",
            "When I mention my {k}, I'm talking about {v}.",
        ),
        (
            "Which {k} am I with?",
            "What's the name of my {k}?",
            "I'm filling in a form and it wants my {k}, what do I write?",
            "Did I tell you which one my {k} is?",
        ),
    ),
    (
        (
            "In this game, {k} stands for {v}.",
            "Let's pretend that the {k} is really {v}.",
            "Whenever somebody says {k}, the right reply is {v}.",
            "In my story the {k} turns into {v}.",
        ),
        (
            "What goes with {k}?",
            "So which word did we pair with {k}?",
            "If I say {k}, what do you answer?",
            "Back to our story, what was the {k} supposed to be?",
        ),
    ),
)
