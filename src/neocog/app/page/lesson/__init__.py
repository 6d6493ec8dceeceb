"""The guided lesson: sixteen cards that ask about the reader's own network, in the order of the article."""
