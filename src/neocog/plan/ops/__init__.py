"""The kinds of work that a program is made of: each says what it touches and how much it does."""
