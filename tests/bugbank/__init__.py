"""Row 22 of the battery, the bug bank: mistakes that tests must notice, and the program that has them notice."""
