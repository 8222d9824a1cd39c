"""What alertmend answers over HTTP."""
