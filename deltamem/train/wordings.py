"""More ways to tell and to ask in training, beside the families' own and the writers'.

"(a|b)" stands for one of its parts, see `spelled`. Nothing here says "recall" or "remind", which questions of the test
say, and no statement is one of the test's.
"""

import random
import re

from .phrasebook import said

# {z}: what is told or sought ("my dog's name", "where I live"); {v}: the value; {q}: a question. A frame with choices
# counts three times: it stands for many.
TOLD_FRAMES = (
    "(You wanted to know|You asked me|Someone asked me|They asked|You may wonder about|You asked about) {z}"
    "(: |; it is | - it's |, and the answer is ){v}.",
    "(In case you need|If you ever need|If someone asks about|Should anyone ask|When you need|If you wonder about) {z}"
    "(: |, it is |, it's |, say |, the answer is ){v}.",
    "(About|Regarding|Concerning|As to|Speaking of|On the subject of) {z}"
    "(: |, it is |, it's |, that would be |, the answer is ){v}.",
    "(Write down|Note|Save|Store|Log|Memorize|Put down|File) {z}(: |, it is |, namely |, which is ){v}.",
    "(Here is|Here comes|This is|Let me give you|I will tell you|I want to share|Let me tell you) {z}"
    "(: | - |, it is ){v}.",
    "{v}(, that is | - that's | is what to say about | would be |, in case you ask, is ){z}.",
    "{z}(: |: | = | - |? It is |? |... |, that's |, well, it is ){v}.",
    "(I checked, and|I found out that|It is official,|It is no secret,|As of now,|You guessed it,|Good news:) {z} "
    "(is|is now|has to be) {v}.",
    "(They say|I can confirm|I believe|We agreed|Everybody agrees|The note says|It says here|My list says) that {z} "
    "(is|should be|will be) {v}.",
    "(The answer|My answer|What I can say) (about|on|to the question of) {z} is {v}.",
)
SOUGHT_FRAMES = 3 * (
    "(Can|Could|Would|Will) you (please |quickly |just |)(tell|give|show) me {z}( please| again| once more|)?",
    "(Can|Could|Would|Will) you (please |quickly |just |)(name|repeat|say|state|find|confirm|look up|bring up|"
    "write down|spell out|get back to me with) {z}( please| for me| again|)?",
    "(Please |Now |Kindly |Just |So |)(tell|give|show|send) me {z}( now| again| please| if you can| once more|).",
    "(Please |Now |Kindly |Just |)(name|repeat|say|state|find|confirm|write down|look up|bring up) {z}( for me|).",
    "(Do|Did) you (still |even |really |)(know|remember|keep|have|note|catch|save|store|get|memorize) {z}?",
    "Have I (already |ever |)(told you|given you|mentioned) {z}?",
    "I (have forgotten|forgot|can't think of|don't know|am not sure of|no longer know|lost track of|want to check|need|"
    "want|would like|have to know|must know) {z}( again|, help me| right now|, can you help|).",
    "(It slipped my mind|My memory fails me|I'm drawing a blank|I'm stuck|Refresh my memory|Jog my memory|Help me out|"
    "Quiz time|Question|Let's test you|Quick check|I'm curious|One thing): {z}?",
    "(What|Which one) (was|is) it again, {z}?",
    "(What do you know|What have I told you|What did I tell you|What did we say|What have you noted|What do you have|"
    "What can you say) (about|regarding|concerning|on) {z}?",
    "(Any idea|Any clue|Anything) (about|on) {z}?",
    "(Someone|A friend|My boss|Everybody|My neighbor) (asks|asked me|wants to know|needs) {z}. "
    "(What should I say|What do I answer|Can you help)?",
    "(Based on|Going by|Thinking of|From) what I (told you|said|mentioned|wrote)( earlier| before|), "
    "(what about|tell me|give me|name|I need) {z}.",
    "(If|In case) you (know|remember|noted) {z}, (tell me|say it|write it here|let me have it).",
    "(Do|Would) you happen to (know|remember|have) {z}?",
    "(It would help|It would be great|I'd be glad|I would be grateful) if you (told me|gave me|could name) {z}.",
    "(Once more|Again|Now|Next|Also|And|Finally): {z}(?|, please.)",
    "(Tell|Show) me (again |once more |)what I said about {z}.",
    "(Try|I want you|I'd like you|You have) to (name|state|say|tell me|think of|come up with|repeat|bring back) {z}.",
    "(My|The) (question|request|next question) is( simple|): {z}?",
    "We (talked|spoke|chatted) about {z}( earlier| before|). (What was it|What did I say|Well)?",
    "{z}(?|, please.|, if you know it.| - do you have it?| - do you know?|...)",
) + (
    "Tell me {z}.", "Please tell me {z}.", "Do you remember {z}?", "Do you know {z}?", "Can you tell me {z}?",
    "Could you tell me {z}?", "I need to know {z}.", "I forgot {z}.", "Repeat {z}, please.", "Let me know {z}.",
    "I would like to know {z}.", "Look up {z}.", "Have I told you {z}?", "Would you tell me {z}?", "Say {z} again.",
    "I want to hear {z}.", "Do you still know {z}?", "Did I mention {z}?", "Help me, I forgot {z}.", "Try to say {z}.",
    "Please repeat {z}.", "I cannot remember {z}.", "Find {z}.", "Answer this: {z}?", "You know {z}, right?",
    "Please state {z}.", "I'm looking for {z}.", "Check {z} for me.", "Show me {z}.", "Write {z}.", "{z}?",
    "{z}, please.", "Any idea about {z}?", "What about {z}?", "Give me {z}.", "I was wondering about {z}.",
    "Do you have {z}?", "Are you able to tell me {z}?", "Now I need {z}.", "I'd like to hear {z} once more.",
    "Do you happen to know {z}?", "What did I say about {z}?", "Which one was it, {z}?", "Name {z}.",
    "It slipped my mind: {z}?", "You surely remember {z}.", "I told you {z}, didn't I?", "Mind telling me {z}?",
    "Be so kind and tell me {z}.", "My question is about {z}.", "Bring up {z}.", "Let's talk about {z}.",
)  # fmt: skip
QUESTION_FRAMES = 3 * (
    "(Okay|Alright|Right|Fine|Great|Good|Thanks|Cool|Hey|Hello|Hi|Hmm|Well|So|Now|And|Also|Wait|Sorry|Listen|Look)"
    "(,|,|.|!) {q}",
    "(Quick|Short|Simple|Small|Last|Next|Another|Random|Serious|Silly) question: {q}",
    "(Answer|Please answer|Try to answer|I need an answer to) (this|my question|the following): {q}",
    "{q} (Think hard.|No guessing.|I told you.|You know it.|Take your time.|I need it now.|Any idea?|I mentioned it.|"
    "It matters to me.|What do you think?)",
    "(Earlier|Before|A while ago|Some time ago|Just now|Today|In this chat) I (told you|mentioned|wrote|said) "
    "something( about it|). {q}",
    "(Can|Could) you help me( out|)? {q}",
    "(Let me ask you|May I ask|I have to ask|I want to ask|I'd like to ask|Let me check)(:|,| something:) {q}",
    "(One more thing|Before I go|Before we go on|While I think of it|Back to what I said|Another thing|For my notes|"
    "For the record|Out of curiosity)(:|,) {q}",
) + (
    "Quick question: {q}", "Hey, {q}", "So, {q}", "Now, {q}", "One question: {q}", "Please answer: {q}", "Thanks. {q}",
    "Let me test you: {q}", "Okay, and {q}", "{q} Please tell me.", "{q} I can't remember.", "Wait, {q}", "And {q}",
    "{q} Think about what I told you.", "I have a question. {q}", "Hmm, {q}", "Sorry, {q}", "{q} Thanks!",
    "From what I told you: {q}", "Earlier I told you something. {q}", "{q} You should know this.", "By the way, {q}",
    "Just checking: {q}", "Let's see what you remember. {q}", "My next question: {q}", "Going back a bit, {q}",
    "Alright. {q}", "{q} I told you before.", "Do you know this one? {q}", "Great! {q}", "Tell me, {q}", "Well, {q}",
    "I wonder, {q}", "Could you answer this? {q}", "According to what I said, {q}", "Last question: {q}", "Okay. {q}",
    *said("question_frames"),
)  # fmt: skip

# For each of families.FAMILIES in order: (told, asked), wordings separated by " | ".
FAMILY_WORDINGS = (
    ("Say hello to {v}, my {k}. | This is {v}, my {k}. | {v}, my {k}, is here. | My {k} responds to {v}. | "
     "The {k} I have is named {v}. | I gave my {k} the name {v}. | My {k} was named {v}. | "
     "At home we have a {k}, {v} by name. | Let me introduce my {k}: {v}. | My {k}, {v}, is with me today. | "
     "{v}, that's my {k}. | I own a {k} that I call {v}. | I decided to name my {k} {v}. | "
     "The name {v} belongs to my {k}. | You can call my {k} {v}. | My {k} is {v}. | "
     "My {k} has been called {v} from the start. | Guess what, my {k} is named {v}. | "
     "I also have a {k}, and I named it {v}. | If you see my {k}, shout {v}. | Our {k} bears the name {v}. | "
     "People know my {k} under the name {v}. | There's a {k} in my life, {v}. | Around here my {k} is just {v}. | "
     "Most folks refer to my {k} as {v}. | My {k} listens to {v}. | And then there is {v}, my {k}. | "
     "My {k}, by the name of {v}, is doing well. | To all of us my {k} is {v}.",
     "How do I call my {k}? | What do we call our {k}? | By what name do I call my {k}? | What is my {k} named? | "
     "Who is my {k}? | My {k} is called what? | Which name belongs to my {k}? | What's the name of my {k}? | "
     "What did I name my {k}? | How did I name my {k}? | What name does my {k} have? | What does my {k} answer to?"),
    ("Of every {k}, I like {v} most. | I love {v} more than any {k}. | {v} is the {k} for me. | My top {k} is {v}. | "
     "I'm fond of {v} as a {k}. | The {k} that I enjoy most is {v}. | For me the greatest {k} is {v}. | "
     "There is no better {k} than {v}. | I always go for {v} as my {k}. | My number one {k} is {v}. | "
     "Ask me about a {k} and I say {v}. | {v} is my kind of {k}. | {v} has been my favorite {k} since I was small. | "
     "I would choose {v} over any {k}. | The {k} closest to my heart is {v}. | A {k} I adore is {v}. | "
     "The one {k} I can't live without is {v}. | I can never get enough of {v}, my favorite {k}. | "
     "No {k} comes close to {v}. | {v} tops every other {k}. | As far as a {k} goes, {v} wins. | "
     "You can't go wrong with {v} when you want a {k}. | If it has to be a {k}, give me {v}. | "
     "Talking about a {k}, I would take {v} any day. | With a {k}, it is always {v} for me. | "
     "Whenever there is a choice of {k}, I take {v}. | "
     "Not a single {k} is as good as {v}. | For a {k}, look no further than {v}. | "
     "Were there only one {k} left, I'd want {v}. | I rate {v} above any {k}. | {v} is the king of {k} to me.",
     "What {k} do I like best? | What is the {k} that I love most? | What {k} would I choose? | "
     "Which {k} is closest to my heart? | Which {k} do I love? | What's my top {k}? | What's the best {k} for me? | "
     "What {k} am I fond of? | Which {k} did I praise? | What {k} is my number one?"),
    ("Today's {k} is {v}. | Our {k} is {v}. | My {k} is {v}. | We set the {k} to {v}. | The {k} changed to {v}. | "
     "The new {k} is {v}. | I picked {v} for the {k}. | For the {k}, type {v}. | {v} has been chosen as the {k}. | "
     "{v} will be the {k}. | The {k} reads {v}. | If you need the {k}, it's {v}. | The {k} we agreed on is {v}. | "
     "They gave us {v} as the {k}. | Bear with me, {v} is the {k}. | "
     "Starting now, {v} serves as the {k}. | Be aware that {v} is the {k}. | Until further notice the {k} is {v}. | "
     "As the {k} we will take {v}. | Don't lose this: {v} is the {k}. | We switched to {v} for the {k}. | "
     " The {k} must be {v}. | You need {v}, that's the {k}. | The {k}? {v}. | "
     "{v} was made the {k}. | The {k} should be {v}. | The team settled on {v} as the {k}. | I got the {k}, {v}. | "
     "The {k} was announced: {v}. | It's {v}, the {k}. | We have a {k} now, {v}.",
     "What was the {k}? | Which {k} do we have? | What's our {k}? | What {k} did we agree on? | "
     "What is the right {k}? | What did they choose as the {k}? | What {k} should I use? | The {k} is what? | "
     "What's the current {k}? | What did I give as the {k}? | What is today's {k}?"),
    ("{v} is the one who is {k}. | {v} took over as {k}. | We hired {v} as {k}. | Meet {v}, our {k}. | "
     "The job of {k} went to {v}. | {v} became our {k}. | {v} serves as {k}. | As {k} we have {v}. | "
     "The role of {k} belongs to {v}. | Talk to {v}, the {k}. | We elected {v} as {k}. | The new {k} is {v}. | "
     "The {k} is called {v}. | They named {v} {k}.",
     "Who works as the {k}? | Who was chosen as {k}? | What is the {k} called? | Which person is our {k}? | "
     "Who took over as {k}? | Who did we choose as {k}? | What's our {k}'s name? | Who serves as {k}?"),
    ("The {k} takes place at {v}. | Our {k} is set for {v}. | The {k} begins at {v}. | "
     "The {k} was scheduled for {v}. | They put the {k} on {v}. | Mark {v} for the {k}. | "
     "{v} is when the {k} happens. | The {k} happens on {v}. | I signed up for the {k} on {v}. | "
     "The {k} got pushed to {v}. | See you at the {k} on {v}. | My {k} is on {v}. | "
     "We are doing the {k} at {v}. | Everybody comes to the {k} at {v}. | There will be a {k} at {v}.",
     "For when is the {k} planned? | When does the {k} take place? | When will the {k} be? | When do we have the {k}? "
     "| What is the time of the {k}? | At what time is the {k}? | When was the {k} set?"),
    ("The {k} went into the {v}. | Look for the {k} in the {v}. | I hid the {k} in the {v}. | "
     "The {k} is lying in the {v}. | I dropped the {k} in the {v}. | The {k} belongs in the {v}. | "
     "My {k} is in the {v}. | In the {v} you will see the {k}. | I placed the {k} inside the {v}. | "
     "The {v} is where the {k} is. | The {k} stays in the {v}. | You left the {k} in the {v}. | "
     "I moved the {k} to the {v}. | The {k} ended up in the {v}. | Somebody took the {k} to the {v}. | "
     "The {k} was found in the {v}. | One can see the {k} in the {v}. | We put away the {k} in the {v}. | "
     "The {k} has its place in the {v}.",
     "In which place is the {k}? | Where do we keep the {k}? | Where should I look for the {k}? | "
     "Where did the {k} go? | What place is the {k} in? | Where is my {k}? | Where did I hide the {k}? | "
     "Where do I find the {k}?"),
    ("For {p}, the {k} is {v}. | {p} has a {k}: {v}. | {p} said the {k} is {v}. | I know {p}'s {k}, it is {v}. | "
     "{p}'s {k} is called {v}. | The {k} that {p} has is {v}. | {p} chose {v} as {k}. | {v} is the {k} of {p}. | "
     "{p} picked {v} for the {k}. | According to {p}, the {k} is {v}. | I asked {p} about the {k} and heard {v}. | "
     "When I met {p}, I learned about the {k}, {v}. | {p}'s {k} has to be {v}. | {p} writes that the {k} is {v}. | "
     "As it happens, {p}'s {k} is {v}. | They found out that {p}'s {k} is {v}. | It seems that {p}'s {k} is {v}. | "
     "{p}'s {k} happens to be {v}.",
     "Which {k} does {p} have? | What did {p} say the {k} is? | What {k} belongs to {p}? | What was {p}'s {k}? | "
     "What did I say {p}'s {k} is? | For {p}, what is the {k}? | Which {k} is {p}'s?"),
    ("I rent a room in {v}. | My house is in {v}. | {v} is where I live. | {v} is my home. | I call {v} home. | "
     "I stay in {v}. | My apartment is in {v}. | I bought a place in {v}. | We live in {v}. | I reside in {v}. | "
     "My address is in {v}. | I came to live in {v}.",
     "Where is my home? | Where is my house? | In which town do I live? | Where do I stay? | "
     "What city am I in? | Which place do I call home? | Where am I based?"),
    ("I have a job as a {v}. | They hired me as a {v}. | I became a {v}. | By trade I am a {v}. | {v} is my job. | "
     "{v} is what I do. | I've worked as a {v} for years. | I'm employed as a {v}. | I got work as a {v}. | "
     "My profession is {v}. | I make money as a {v}.",
     "What job do I have? | What am I by profession? | How do I earn my living? | What is my line of work? | "
     "What do I do? | What kind of work do I do? | What's my occupation?"),
    ("The name's {v}. | This is {v}. | {v} is my name. | {v} here. | I go by {v}. | They named me {v}. | "
     "I was named {v}. | It's {v} speaking. | Let me introduce myself, I'm {v}.",
     "What am I called? | Which name do I have? | How am I called? | What name did I give you? | "
     "What should you call me?"),
    ("I picked {v} as my {k}. | I belong to a {k}, {v}. | {v} is my {k}. | My {k} is called {v}. | "
     "I changed my {k} to {v}. | I'm with {v}, my {k}. | My new {k} is {v}.",
     "What's my {k}? | What is my {k} called? | Which {k} do I have? | Which {k} did I join? | "
     "Which {k} did I choose?"),
    ("With the {k} comes {v}. | For the {k} we say {v}. | The {k} means {v}. | The {k} goes with {v}. | "
     "The {k} has {v} on it. | Behind the {k} there is {v}. | I connect the {k} with {v}. | "
     "The {k} is short for {v}. | The {k} refers to {v}. | The {k} equals {v}. | "
     "If I say {k}, you say {v}. | The {k} is linked to {v}. | The {k} was {v}. | Next to the {k} is {v}. | "
     "Our {k} is {v}.",
     "What does the {k} mean? | What goes with the {k}? | What belongs to the {k}? | What was the {k}? | "
     "Which word goes with the {k}? | What did I tell you about the {k}?"),
)  # fmt: skip


def spelled(rng: random.Random, text: str) -> str:
    """The text with one part of every "(a|b)" chosen."""
    return re.sub(r"\(([^()]*)\)", lambda choice: rng.choice(choice[1].split("|")), text)
