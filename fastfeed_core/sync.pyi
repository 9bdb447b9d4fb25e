from typing import Literal

def judge(
    book_seq: int,
    prev_seq: int,
    last_seq: int,
    in_step: bool = True,
    ahead: int = 0,
    others_in_step: bool = False,
) -> tuple[Literal["apply", "old", "wait", "gap"], bool, int]: ...
