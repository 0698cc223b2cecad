"""Whether a file is what it claims to be: `verification.verify_file`, and what is in it."""
