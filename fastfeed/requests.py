"""The requests of one connection: what to subscribe to in which frames, and what became of each topic.

Venues answer in different ways: once a request by its id, once a topic without an id, with a list from which the bad
ones are missing, or for a refusal with an error that does not say of what. Here they become one answer for each topic.
All times are ns since the epoch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence

from fastfeed.pause import SECOND
from fastfeed.venues.spec import Ack, Credentials, Product, Refusal, Topic, Venue

__all__ = ["Requests"]

_ANSWER_WITHIN_S = 10


class _Request:
    """A frame that was or will be sent, and the topics of it that are not answered yet."""

    __slots__ = ("again", "ends", "greets", "id", "payload", "said", "sent", "taken", "topics")

    def __init__(self, id: int, payload: bytes, topics: Iterable[Topic], ends: bool = False, greets: bool = False):
        self.id = id
        self.payload = payload
        self.topics = {topic.text: topic for topic in topics}
        self.ends = ends
        self.again: set[str] = set()  # of what it ends: to be subscribed to anew then
        self.greets = greets
        self.sent = 0
        self.taken = False  # any topic of it was
        self.said: Refusal | None = None  # an error that may be this request's


class Requests:
    """The requests of one socket.

    Parameters
    ----------
    next_id : gives ids of requests
    """

    def __init__(
        self, venue: Venue, product: Product, credentials: Credentials | None, next_id: Callable[[], int]
    ) -> None:
        self._venue = venue
        self._product = product
        self._credentials = credentials
        self._next_id = next_id
        self._queue: deque[_Request] = deque()
        self._open: dict[int, _Request] = {}  # sent and not answered in full
        self._left_out: list[tuple[list[str], Refusal]] = []
        self._declined: set[str] = set()  # refused, and not taken since: silence about them costs nobody the socket
        self._unwanted: dict[str, Topic] = {}  # asked for, and to be ended as soon as the venue has answered

    @property
    def settled(self) -> bool:
        """True while nothing waits to be sent or answered."""
        return not self._queue and not self._open

    def awaits(self, topics: Iterable[str]) -> bool:
        """Return whether any of these topics waits to be asked for or ended, or for the answer to that."""
        busy = self._busy()
        return any(text in busy for text in topics)

    def greet(self, ts: int) -> None:
        """Queue what the venue wants to hear first."""
        request_id = self._next_id()
        payload = self._venue.greeting(self._product, self._credentials, request_id, ts)
        if payload is not None:
            self._queue.append(_Request(request_id, payload, (), greets=True))

    def subscribe(self, topics: Iterable[Topic]) -> None:
        """Queue the frames that subscribe to `topics`; what is being ended now is asked for again after that."""
        busy = self._busy()
        topics = list(topics)
        for topic in topics:
            self._unwanted.pop(topic.text, None)
            self._declined.discard(topic.text)
            ending = busy.get(topic.text)
            if ending is not None and ending.ends:
                ending.again.add(topic.text)
        self._ask([topic for topic in topics if topic.text not in busy])

    def _ask(self, topics: Iterable[Topic]) -> None:
        for chunk in self._chunks(topics, self._venue.encode_subscribe):
            request_id = self._next_id()
            payload = self._venue.encode_subscribe([topic.text for topic in chunk], request_id)
            self._queue.append(_Request(request_id, payload, chunk))

    def again(self, topics: Iterable[Topic]) -> None:
        """Queue the end of subscriptions; when it is acknowledged, they are made again."""
        busy = self._busy()
        self._end([topic for topic in topics if topic.text not in busy], again=True)

    def unsubscribe(self, topics: Iterable[Topic]) -> None:
        """Queue the end of subscriptions; what waits for its answer is ended when that is here."""
        busy = self._busy()
        topics = list(topics)
        for topic in topics:
            request = busy.get(topic.text)
            if request is not None and request.ends:
                request.again.discard(topic.text)
            elif request is not None:
                self._unwanted[topic.text] = topic
        self._end([topic for topic in topics if topic.text not in busy], again=False)

    def _end(self, topics: Iterable[Topic], again: bool) -> None:
        for chunk in self._chunks(topics, self._venue.encode_unsubscribe):
            request_id = self._next_id()
            payload = self._venue.encode_unsubscribe([topic.text for topic in chunk], request_id)
            request = _Request(request_id, payload, chunk, ends=True)
            if again:
                request.again |= request.topics.keys()
            self._queue.append(request)

    def _busy(self) -> dict[str, _Request]:
        """Topics that wait for an answer, and in which request."""
        return {text: request for request in (*self._queue, *self._open.values()) for text in request.topics}

    def waiting(self) -> set[str]:
        """Return the topics whose subscription has not been sent, or is being ended: nothing comes by a new one yet."""
        requests = (*self._queue, *(each for each in self._open.values() if each.ends))
        return {text for request in requests for text in request.topics}

    def next(self, ts: int) -> bytes | None:
        """Return the next frame, taken as sent; None if there is none, or the answer to the greeting is not here."""
        if not self._queue or any(request.greets for request in self._open.values()):
            return None
        request = self._queue.popleft()
        request.sent = ts
        self._open[request.id] = request
        return request.payload

    def _chunks(self, topics: Iterable[Topic], encode: Callable[[Sequence[str], int], bytes]) -> list[list[Topic]]:
        """Topics by frames that the venue takes."""
        limits = self._product.limits
        frames: dict[str, list[Topic]] = {}
        for topic in topics:
            frames.setdefault(topic.frame, []).append(topic)
        chunks: list[list[Topic]] = []
        for together in frames.values():
            size = limits.frame_bytes + 1
            for topic in together:
                one, two = (len(encode([topic.text] * n, 10**9)) for n in (1, 2))
                if size + two - one > limits.frame_bytes or len(chunks[-1]) >= limits.topics_per_frame:
                    chunks.append([])
                    size = 2 * one - two  # the frame without topics
                chunks[-1].append(topic)
                size += two - one
        return chunks

    # ---- answers

    def acknowledged(self, ack: Ack) -> list[str]:
        """Return the topics that are in force now."""
        if ack.request_id is not None:
            request = self._open.get(ack.request_id)
            return [] if request is None else self._take(request, ack)
        alike = (ack.ended, ack.greets)
        requests = [each for each in self._open.values() if (each.ends, each.greets) == alike]
        if ack.topics is None or ack.complete:
            # It is about one request: the one with these topics, else the one that waits longest.
            named = [each for each in requests if any(text in each.topics for text in ack.topics or ())]
            requests = (named or requests)[:1]
        taken = []
        for request in requests:
            taken += self._take(request, ack)
        return taken

    def _take(self, request: _Request, ack: Ack) -> list[str]:
        named = request.topics if ack.topics is None else ack.topics
        topics = [request.topics.pop(text) for text in list(named) if text in request.topics]
        request.taken = request.taken or bool(topics)
        if request.ends and ack.complete:
            topics += request.topics.values()  # what was not subscribed need not be ended
            request.topics.clear()
        elif ack.complete and request.topics:
            self._refuse(request, Refusal(request_id=request.id, reason="left out of the venue's answer"))
        if not request.topics:
            self._open.pop(request.id, None)
        return self._answered(request, topics)

    def _answered(self, request: _Request, topics: Iterable[Topic], refused: bool = False) -> list[str]:
        """What an answer settles: ended topics may be wanted again; of others, return those that are wanted still."""
        if request.ends:
            # What is not subscribed, because the venue refuses to end it, need not be ended.
            self._ask([topic for topic in topics if topic.text in request.again])
            return []
        topics = list(topics)
        texts = {topic.text for topic in topics}
        self._declined = self._declined | texts if refused else self._declined - texts
        gone = [topic for topic in topics if self._unwanted.pop(topic.text, None) is not None]
        if not refused:
            self._end(gone, again=False)
        return [topic.text for topic in topics if topic not in gone]

    def refused(self, refusal: Refusal) -> list[str] | None:
        """Return the topics that a refusal is about; None if that shows later."""
        named = refusal.request_id is not None or refusal.topics
        if self._product.acks_topics and not named and not any(each.greets for each in self._open.values()):
            for request in self._open.values():
                request.said = refusal  # the good topics are acknowledged one by one; this is for who is left
            return None
        if refusal.topics:
            requests = [each for each in self._open.values() if any(text in each.topics for text in refusal.topics)]
        elif refusal.request_id is not None:
            requests = [each for each in (self._open.get(refusal.request_id),) if each is not None]
        else:
            requests = list(self._open.values())[:1]  # the oldest that waits is the likeliest
        out: list[str] = []
        for request in requests:
            if not refusal.topics and len(request.topics) > 1:
                self._single_out(request, refusal)
                return None
            topics = [request.topics.pop(text, None) for text in (refusal.topics or list(request.topics))]
            known = [topic for topic in topics if topic is not None]
            if not request.topics:
                self._open.pop(request.id, None)
            out += self._answered(request, known, refused=True)
        return out

    def _single_out(self, request: _Request, refusal: Refusal) -> None:
        """One topic of several is bad: find out which."""
        if self._product.acks_topics:
            request.said = refusal  # the good ones are acknowledged; this is for who is left
            return
        del self._open[request.id]
        for topic in request.topics.values():
            if request.ends:
                self._end([topic], again=topic.text in request.again)
            else:
                self._ask([topic])

    def _refuse(self, request: _Request, refusal: Refusal) -> None:
        topics = list(request.topics.values())
        request.topics.clear()
        texts = self._answered(request, topics, refused=True)
        if texts:
            self._left_out.append((texts, refusal))

    def take_left_out(self) -> list[tuple[list[str], Refusal]]:
        """Return (topics, refusal) of what was refused without a word of its own, since the last call."""
        out = self._left_out
        self._left_out = []
        return out

    def overdue(self, ts: int) -> str | None:
        """Return why the socket must be dead, if it must: a request that had no answer at all."""
        for request in list(self._open.values()):
            if ts - request.sent <= _ANSWER_WITHIN_S * SECOND:
                continue
            is_declined = request.topics and request.topics.keys() <= self._declined
            if request.taken or request.said is not None or is_declined:
                del self._open[request.id]
                if request.ends:
                    self._answered(request, list(request.topics.values()))
                    continue
                if request.said is not None and len(request.topics) > 1:
                    # One bad topic may have cost those beside it their answers.
                    for topic in request.topics.values():
                        self._ask([topic])
                    continue
                said = request.said or Refusal(request_id=request.id, reason="not answered, unlike others beside it")
                self._refuse(request, said)
                continue
            if request.ends and not request.again:
                del self._open[request.id]  # it brings nothing that anybody waits for, and others need the socket
                continue
            return f"no answer to a subscription within {_ANSWER_WITHIN_S} s"
        return None
