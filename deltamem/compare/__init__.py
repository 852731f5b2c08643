"""Comparing arms. This file imports nothing: a session uses compare.retrieval, and arms use sessions."""
