"""Pages of one subject beside the report of a search, each one HTML file that works offline."""
