"""The command line: one file for each command; `main` has the table of them all."""
