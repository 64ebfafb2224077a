"""What is right: the semantics of a paged KV cache manager as pure, declarative functions.

Read `RULES.md` for the index of rule ids; each module here is one chapter.
"""
