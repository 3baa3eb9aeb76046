"""How far short training can be trusted: candidates of a run trained for other lengths."""
