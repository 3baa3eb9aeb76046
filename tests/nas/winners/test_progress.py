import pickle

from nas.winners.progress import Sending


class Heard:
    def __init__(self):
        self.calls = []

    def notice(self, words):
        self.calls.append(words)

    def begins(self, *, steps, tokens, done_steps):
        self.calls.append((steps, tokens, done_steps))

    def progressed(self, event):
        self.calls.append(event)


def test_what_is_said_in_another_process_is_heard_here():
    sent = []
    sending = Sending(sent.append)
    sending.begins(steps=3, tokens=6, done_steps=1)
    sending.notice("words")
    sending.progressed({"step": 2})
    heard = Heard()
    for message in sent:
        pickle.loads(pickle.dumps(message)).tell(heard)
    assert heard.calls == [(3, 6, 1), "words", {"step": 2}]
