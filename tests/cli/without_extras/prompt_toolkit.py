"""In place of the library, for programs that are to run as where the extra `chat` is not installed."""

raise ImportError("prompt_toolkit is hidden from this program")
