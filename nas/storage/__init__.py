"""Where studies are kept: a journal file or PostgreSQL, one writer each, waited for where they go away."""
