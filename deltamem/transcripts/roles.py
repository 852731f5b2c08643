"""Who speaks: from the names that transcripts use to the roles user, assistant and system."""

from __future__ import annotations

from dataclasses import dataclass

from .model import Message, TranscriptError, excerpt

USER = {
    "user", "human", "you", "me", "i", "customer", "client", "question", "q", "prompter", "prompt", "usuario",
    "utilisateur", "benutzer", "nutzer", "utente", "usuário", "пользователь", "用户", "用戶", "ユーザー", "사용자",
}  # fmt: skip
ASSISTANT = {
    "assistant", "ai", "bot", "chatbot", "model", "gpt", "chatgpt", "claude", "gemini", "copilot", "llama", "qwen",
    "agent", "system assistant", "ai assistant", "answer", "a", "response", "asistente",
    "assistent", "assistente", "ассистент", "помощник", "助手", "アシスタント", "어시스턴트",
}  # fmt: skip
SYSTEM = {"system", "developer"}
TOOL = {"tool", "function", "tool_call", "tool_result", "function_call", "observation", "ipython"}


def known_role(name: str) -> str | None:
    """The role that `name` stands for: user, assistant, system, tool, or None for any other name."""
    word = " ".join(name.lower().split()).removesuffix(" said")
    for role, names in (("user", USER), ("assistant", ASSISTANT), ("system", SYSTEM), ("tool", TOOL)):
        if word in names:
            return role
    return None


def role_of(value: object, where: str) -> str:
    """The role named by a field of structured data; raises TranscriptError for anything that is not one."""
    if isinstance(value, str) and (role := known_role(value)):
        return role
    shown = f"“{excerpt(value)}”" if isinstance(value, str) else f"of type {type(value).__name__}"
    raise TranscriptError(
        f"{where} has the role {shown}, which is none of user, assistant, system or tool: rename it to one of these."
    )


@dataclass
class Cast:
    """How speakers became roles. `named` speakers keep their name in front of what they say."""

    roles: dict[str, str]
    named: set[str]
    notes: list[str]

    def message(self, speaker: str, content: str) -> Message:
        text = f"{speaker}: {content}" if speaker in self.named else content
        return {"role": self.roles[speaker], "content": text}


def cast_of(speakers: list[str]) -> Cast:
    """Roles for `speakers` (distinct names in order of appearance).

    Known names keep their meaning. Two strangers are read as user and assistant. A stranger beside a known
    assistant is a user, beside a known user the assistant. In a group every stranger is a user whose name stays
    in the text, since who said what would be lost otherwise.
    """
    roles = {name: role for name in speakers if (role := known_role(name))}
    strangers = [name for name in speakers if name not in roles]
    present = set(roles.values())
    notes: list[str] = []
    named: set[str] = set()
    if not strangers:
        return Cast(roles, named, notes)
    if len(strangers) == 2 and not present & {"user", "assistant"}:
        roles[strangers[0]], roles[strangers[1]] = "user", "assistant"
        notes.append(f"Read {excerpt(strangers[0])} as the user and {excerpt(strangers[1])} as the assistant.")
    elif len(strangers) == 1 and "assistant" not in present and "user" in present:
        roles[strangers[0]] = "assistant"
        notes.append(f"Read {excerpt(strangers[0])} as the assistant.")
    elif len(strangers) == 1 and "user" not in present:
        roles[strangers[0]] = "user"
        notes.append(f"Read {excerpt(strangers[0])} as the user.")
    else:
        for name in strangers:
            roles[name] = "user"
        named.update(strangers)
        shown = ", ".join(excerpt(name, 24) for name in strangers[:4]) + (", …" if len(strangers) > 4 else "")
        notes.append(f"Several people speak ({shown}): read as user messages that keep the name.")
    return Cast(roles, named, notes)
