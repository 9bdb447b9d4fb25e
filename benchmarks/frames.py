"""Messages made from a fixed seed: shaped as Binance's, the same on every machine, for counting instructions.

The book is a slope of levels around a touch that walks; updates fall off with the distance from it, about a third of
them inserts or removals, as in the recordings of 2024.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from benchmarks.stage import PRODUCTS

__all__ = ["Made", "book_updates", "make"]

SEED = 20240808
MID = 618_377  # ticks of USD-M futures
DEPTH = 1000  # levels a side of a snapshot
LEVELS = {"spot": 14, "usdm": 29}  # a side and delta: the means of the recordings
MS = 1_723_161_256_000


@dataclass
class Made:
    """A product's frames by kind, and the snapshot that the deltas go on from."""

    product: str
    snapshot: bytes
    kinds: dict[str, list[bytes]] = field(default_factory=dict)


def _distance(rng: random.Random) -> int:
    """Ticks from the touch: a fifth within ten, half within 200, the tail to some thousands."""
    return min(int(rng.lognormvariate(4.6, 1.9)), 6000)


def _price(product: str, ticks: int) -> str:
    if product == "usdm":
        return f"{ticks // 10}.{ticks % 10}0"
    return f"{ticks // 100}.{ticks % 100:02}000000"


def _size(product: str, rng: random.Random) -> str:
    if product == "usdm":
        return f"{rng.randrange(1, 20_000) / 1000:.3f}"
    return f"{rng.randrange(1, 1_000_000) / 100_000:.8f}"


def _zero(product: str) -> str:
    return "0.000" if product == "usdm" else "0.00000000"


def _pairs(product: str, rng: random.Random, mid: int, sign: int, n: int) -> str:
    ticks = sorted({mid + sign * (1 + _distance(rng)) for _ in range(n)})
    return ",".join(
        f'["{_price(product, t)}","{_zero(product) if rng.random() < 0.3 else _size(product, rng)}"]' for t in ticks
    )


def make(product: str, count: int) -> Made:
    """Make `count` frames of each kind, of `spot` or `usdm`."""
    rng = random.Random(f"{SEED}-{product}")
    topics = PRODUCTS[product]
    mid = MID if product == "usdm" else 10 * MID
    sequence = 50_093_239_218 if product == "spot" else 5_123_107_856_210
    sides = (
        ",".join(f'["{_price(product, mid + sign * (1 + 2 * i))}","{_size(product, rng)}"]' for i in range(DEPTH))
        for sign in (-1, 1)
    )
    snapshot = '{{"lastUpdateId":{},"bids":[{}],"asks":[{}]}}'.format(sequence, *sides)
    depth, bbo, trade = [], [], []
    for i in range(count):
        ms = MS + 3 * i
        mid += rng.choice((-2, -1, 0, 0, 1, 2))
        first, last = sequence + 1, sequence + rng.randrange(2, 3000)
        bids, asks = (_pairs(product, rng, mid, sign, LEVELS[product]) for sign in (-1, 1))
        bid, ask = _price(product, mid - 1), _price(product, mid + 1)
        sizes = _size(product, rng), _size(product, rng)
        maker = rng.choice(("true", "false"))
        if product == "usdm":
            depth.append(
                f'{{"stream":"{topics.book}","data":{{"e":"depthUpdate","E":{ms + 1},"T":{ms},"s":"BTCUSDT",'
                f'"U":{first},"u":{last},"pu":{sequence},"b":[{bids}],"a":[{asks}]}}}}'
            )
            bbo.append(
                f'{{"stream":"{topics.bbo}","data":{{"e":"bookTicker","u":{last},"s":"BTCUSDT","b":"{bid}",'
                f'"B":"{sizes[0]}","a":"{ask}","A":"{sizes[1]}","T":{ms},"E":{ms + 1}}}}}'
            )
            trade.append(
                f'{{"stream":"{topics.trade}","data":{{"e":"trade","E":{ms + 1},"T":{ms},"s":"BTCUSDT",'
                f'"t":{5266583935 + i},"p":"{bid}","q":"{sizes[0]}","X":"MARKET","m":{maker}}}}}'
            )
        else:
            depth.append(
                f'{{"stream":"{topics.book}","data":{{"e":"depthUpdate","E":{ms},"s":"BTCUSDT","U":{first},"u":{last},'
                f'"b":[{bids}],"a":[{asks}]}}}}'
            )
            bbo.append(
                f'{{"stream":"{topics.bbo}","data":{{"u":{last},"s":"BTCUSDT","b":"{bid}","B":"{sizes[0]}",'
                f'"a":"{ask}","A":"{sizes[1]}"}}}}'
            )
            trade.append(
                f'{{"stream":"{topics.trade}","data":{{"e":"trade","E":{ms + 1},"s":"BTCUSDT","t":{3735683259 + i},'
                f'"p":"{bid}","q":"{sizes[0]}","T":{ms},"m":{maker},"M":true}}}}'
            )
        sequence = last
    kinds = {"bookTicker": bbo, "trade": trade, "depth": depth}
    return Made(product, snapshot.encode(), {kind: [text.encode() for text in made] for kind, made in kinds.items()})


Pairs = list[tuple[int, int]]


def book_updates(depth: int, messages: int, levels: int) -> tuple[Pairs, Pairs, list[tuple[Pairs, Pairs]]]:
    """Make a book of `depth` levels in all and updates that keep it about as deep: mantissas, ticks of 100."""
    rng = random.Random(f"{SEED}-{depth}")
    tick = 100
    mid = MID
    half = depth // 2

    def side(sign: int) -> Pairs:
        return [((mid + sign * (1 + i)) * tick, rng.randrange(1, 10**9)) for i in range(half)]

    def update(sign: int) -> Pairs:
        out = []
        for _ in range(levels):
            at = min(_distance(rng), half - 1) if rng.random() < 0.9 else rng.randrange(half)
            out.append(((mid + sign * (1 + at)) * tick, 0 if rng.random() < 0.2 else rng.randrange(1, 10**9)))
        return out

    return side(-1), side(1), [(update(-1), update(1)) for _ in range(messages)]
