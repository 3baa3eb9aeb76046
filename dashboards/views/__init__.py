"""What the page of a study shows, view by view: words, pictures and tables of one question."""
