"""Where evaluations run: in this process, in its threads or on a Ray cluster."""
