"""The same small scripts and command lines under both packages, and what each of them made of them."""
