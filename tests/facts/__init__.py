"""What Sacred does, fact by fact, and where this project shows that it does the same or says why not."""
