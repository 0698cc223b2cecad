"""The commands of `ecct`, one to a file.

Each file imports at its top only what help needs, so that `ecct --help` stays instant;
what does the work is imported when the command runs.
"""
