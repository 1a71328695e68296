"""Protocol of the silent peers: a procedure for each state of a call."""

import enkaku

NOTE = enkaku.Event[str]("note", data=str)
PING = enkaku.Request[None, None]("ping")
WAIT = enkaku.Request[None, None]("wait")
BLOCK = enkaku.Request[None, None]("block")
QUIET = enkaku.Stream[None, str, None]("quiet", receive=str)
POUR = enkaku.Stream[None, str, None]("pour", receive=str)
TALK = enkaku.Channel[None, str, str, None]("talk", send=str, receive=str)


class Figures(enkaku.Model):
    """What a server has open: the connection and the call that ask for it are among it."""

    connections: int
    calls: int
    tasks: int
    descriptors: int


FIGURES = enkaku.Request[None, Figures]("figures", result=Figures)
