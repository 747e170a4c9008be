"""Examples; each file or folder says at its top how to run it."""
