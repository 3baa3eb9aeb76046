"""From a study to what dashboards, reports and exports read: the frame, and all that stands beside it."""
