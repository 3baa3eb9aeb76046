"""What stands between studies and an open page: reading anew, sending what changed, letting nobody in."""
