"""What facts are about: the keys of the families in families.py and more_families.py."""

NAMED = (
    "dog", "cat", "boat", "guitar", "laptop", "car", "robot", "rabbit", "horse", "parrot", "tortoise", "plant",
    "drone", "bike", "band", "startup", "company", "blog", "podcast", "shop", "farm", "village", "school", "street",
    "team", "server", "sister", "brother", "boss", "teacher", "doctor", "neighbor", "cousin", "aunt", "uncle", "son",
    "daughter", "husband", "wife", "landlord", "coach", "roommate", "dentist", "lawyer", "mentor", "manager",
    "goldfish", "hamster", "pony", "kitten", "puppy", "canary", "tent", "van", "truck", "scooter", "piano", "violin",
    "doll", "dragon", "house", "cottage", "garden", "bakery", "restaurant", "newsletter", "novel", "song", "recipe",
    "painting", "sculpture", "app", "website", "library", "assistant", "colleague", "supervisor", "trainer",
    "accountant", "agent", "grandmother", "grandfather", "nephew", "niece", "godmother", "partner", "therapist",
    "barber",
)  # fmt: skip
LIKED = (
    "color", "food", "drink", "animal", "sport", "band", "season", "city", "country", "book", "movie", "song",
    "singer", "flower", "fruit", "vegetable", "dessert", "game", "subject", "tree", "bird", "car", "instrument",
    "language", "holiday", "hobby", "author", "painter", "actor", "dish", "tea", "spice", "soup", "cheese", "snack",
    "planet", "stone", "metal", "toy", "fabric", "dance", "shape", "word", "letter", "number", "month", "wine",
    "beer", "bread", "fish", "insect",
)  # fmt: skip
CODES = (
    "wifi password", "door code", "code word", "secret word", "safe word", "locker code", "gate code", "alarm code",
    "username", "account name", "booking reference", "ticket number", "order number", "passphrase", "serial number",
    "flight number", "room number", "bus line", "magic word", "project name", "team name", "signal word",
    "meeting room", "host name", "branch name", "file name", "call sign", "network name", "garage code",
    "access code", "licence plate", "error code", "release name", "key phrase", "backup word", "station name",
    "menu special", "theme", "topic", "deadline", "budget", "title", "slogan", "nickname", "keyword", "target",
    "destination", "winner", "sponsor",
)  # fmt: skip
ROLES = (
    "team lead", "project manager", "designer", "treasurer", "captain", "chairperson", "editor", "head chef",
    "director", "secretary", "product owner", "reviewer", "host", "driver", "goalkeeper", "lead singer", "speaker",
    "organizer", "landlord", "new intern", "head nurse", "principal", "contact person", "translator", "sponsor",
    "client",
)  # fmt: skip
EVENTS = (
    "meeting", "party", "exam", "wedding", "concert", "interview", "launch", "review", "workshop", "flight",
    "deadline", "appointment", "match", "dinner", "conference", "demo", "training", "delivery", "inspection",
    "rehearsal", "lecture", "picnic", "ceremony", "race", "auction", "hearing", "release", "webinar",
)  # fmt: skip
OBJECTS = (
    "keys", "passport", "umbrella", "charger", "wallet", "spare key", "toolbox", "documents", "ladder", "medicine",
    "tickets", "glasses", "suitcase", "map", "camera", "flashlight", "first aid kit", "remote control", "notebook",
    "drill", "vacuum cleaner", "blanket", "contract", "receipt", "USB stick", "hard drive", "helmet", "tent", "gift",
)  # fmt: skip
OWNED = (
    "favorite color", "hometown", "job", "dog", "cat", "boat", "hobby", "favorite food", "nickname", "car", "team",
    "favorite drink", "password", "middle name", "school", "favorite book", "employer", "project",
)  # fmt: skip
PEOPLE = (
    "sister", "brother", "mother", "father", "uncle", "aunt", "cousin", "boss", "teacher", "doctor", "neighbor", "wife",
    "husband", "son", "daughter", "friend", "best friend", "colleague", "landlord", "coach", "roommate", "dentist",
    "lawyer", "grandmother", "grandfather", "nephew", "niece", "manager", "partner", "mom", "dad", "girlfriend",
    "boyfriend", "classmate", "professor", "therapist", "barber", "vet", "assistant", "flatmate", "supervisor",
)  # fmt: skip
THINGS = (
    "safe", "front door", "locker", "laptop", "phone", "router", "gate", "garage", "alarm", "bike lock", "suitcase",
    "mailbox", "office", "computer", "tablet", "server", "website", "email account", "bank card", "storage room",
    "parking lot", "cabin", "club", "elevator", "printer", "basement", "shed", "wifi", "account", "drawer",
)  # fmt: skip
TRANSPORT = ("train", "bus", "flight", "ferry", "plane", "tram", "boat", "shuttle", "taxi", "coach")
PLURALS = (
    "cats", "dogs", "brothers", "sisters", "bikes", "children", "cousins", "houses", "cars", "guitars", "plants",
    "books", "chairs", "windows", "rooms", "horses", "chickens", "cups", "lamps", "keys", "students", "employees",
    "shirts", "shoes", "hats", "apples", "tickets", "boxes", "clocks", "phones", "trees", "goats", "rabbits",
    "friends",
)  # fmt: skip
