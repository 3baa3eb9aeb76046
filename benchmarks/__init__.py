"""Every speed or quality claim, one command each; what they share is the document they print."""
