"""`python -m preludio` is `preludio`."""

from preludio.cli import main

if __name__ == "__main__":
    main()
