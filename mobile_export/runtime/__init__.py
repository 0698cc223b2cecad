"""Interpreters: one in a process of its own, and a loaded file in this one."""
