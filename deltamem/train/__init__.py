"""Training adapters: conversations with facts, the loop, and the recall test."""
