"""The command line: one file a command, heavy packages imported inside the command that needs them."""
