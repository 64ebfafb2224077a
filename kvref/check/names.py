"""Names that say nothing: the first one that is asked for is the first."""


class Names:
    """Blocks and tokens by the order in which they are asked for; the null block keeps its name."""

    def __init__(self, requests: dict[str, int]) -> None:
        self.requests = requests
        self.blocks: dict[int, int] = {0: 0}
        self._letters: dict[int, int] = {}

    def block(self, number: int) -> int:
        """The block's name."""
        return self.blocks.setdefault(number, len(self.blocks))

    def all(self, numbers: list[int]) -> list[int]:
        """The blocks' names."""
        return [self.block(number) for number in numbers]

    def letter(self, token: int) -> int:
        """The token value's name."""
        return self._letters.setdefault(token, len(self._letters))
