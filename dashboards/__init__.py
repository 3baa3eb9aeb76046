"""Pictures of a study's results: a report in one file, and the same page live. Knows no storage."""
