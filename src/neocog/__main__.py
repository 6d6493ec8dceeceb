"""`python -m neocog` is the command line."""

from neocog.app.start import main

if __name__ == "__main__":
    main()
