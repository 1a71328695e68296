"""The tests of those rows of docs/failures.md that ``test_failures`` does not try itself, by section and first cell."""

from collections.abc import Mapping
from typing import Final

PROOFS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "Connecting fails": {
        "no server listens at the address": ("test_a_refused_connect_says_so_and_leaves_nothing",),
        "the server does not accept the connection (Unix)": (
            "test_a_unix_server_that_accepts_nobody_is_waited_for_and_no_longer",
        ),
        "the server does not accept the connection (TCP)": (
            "test_a_tcp_server_that_accepts_nobody_is_waited_for_and_no_longer",
        ),
        "the server accepts it in time": (
            "test_a_unix_server_that_accepts_somebody_in_time_is_reached",
        ),
        "the server never answers the TLS handshake": (
            "test_a_server_that_never_answers_the_tls_handshake_is_left",
        ),
        "the caller is cancelled": ("test_who_no_longer_wants_to_connect_leaves_nothing",),
    },
    "The client dies or is silent": {
        "its process is killed": ("test_of_a_client_that_is_killed_nothing_is_left",),
        "it closes or resets the socket": ("test_each_way_to_disconnect_cancels_the_handler",),
        "it closes the socket in the middle of a message": (
            "test_a_client_that_ends_in_the_middle_of_a_line_leaves_nothing",
            "test_a_cut_in_a_line_does_not_run_what_it_said",
        ),
        "it ends its side and never reads": (
            "test_a_peer_that_ends_its_side_and_never_reads_is_dropped",
        ),
        "its machine is gone (TCP)": ("test_peers_that_are_gone_are_noticed_and_silent_ones_kept",),
        "it is half open, and the write buffer is full": (
            "test_of_a_half_open_connection_what_waits_unread_is_given_up",
        ),
        "it reads nothing, and the write buffer is full": (
            "test_a_handler_that_waits_for_room_is_cancelled_with_its_client",
            "test_a_server_gives_up_a_client_that_reads_nothing",
            "test_what_is_written_meanwhile_does_not_count_as_read",
        ),
        "it is stopped, and the write buffer is full": (
            "test_a_stopped_client_that_much_waits_for_is_given_up",
        ),
        "it reads slowly": (
            "test_who_reads_slowly_is_waited_for",
            "test_who_catches_up_and_has_nothing_more_to_read_is_left_alone",
        ),
        "it is stopped, and its calls have a timeout": (
            "test_calls_of_a_stopped_client_end_when_their_time_is_over",
        ),
        "it is stopped, and its calls have no timeout": (
            "test_calls_of_a_stopped_client_that_have_no_end_wait_for_it",
            "test_a_peer_that_stalls_and_recovers_gets_everything",
        ),
        "it does not read its replies": (
            "test_many_requests_whose_answers_nobody_reads_do_not_grow_the_server",
        ),
        "it sends invalid messages": ("test_what_is_no_message_is_reported_and_the_calls_go_on",),
        "it sends an endless line": ("test_a_line_without_an_end_ends_the_connection",),
        "it never finishes the TLS handshake": (
            "test_a_client_that_never_shakes_hands_is_dropped",
        ),
        "it sends nothing and has no open call": (
            "test_an_idle_client_is_dropped_and_one_with_an_open_call_is_not",
        ),
        "its own event loop was blocked": (
            "test_a_client_whose_own_loop_was_blocked_does_not_blame_the_server",
        ),
        "it is stopped while the server stops": (
            "test_a_stopped_client_does_not_hold_up_the_stop",
            "test_a_client_that_the_stop_cannot_reach_is_dropped_by_it",
        ),
    },
    "A peer reads nothing": {
        "the server does not read its requests": (
            "test_a_client_gives_up_a_server_that_reads_nothing",
        ),
        "an event waits for the write buffer": (
            "test_an_event_that_waits_for_room_is_told_why_there_will_be_none",
        ),
        "the connection is being closed": (
            "test_a_close_ends_with_the_first_of_both_times",
            "test_in_memory_a_close_ends_with_the_first_of_both_times_too",
        ),
        "both sides of a channel send, and neither takes an item": (
            "test_a_flood_that_neither_side_reads_holds_both_up_until_one_gives_up",
        ),
    },
    "A handler ignores its cancellation": {
        "the call's deadline passes": ("test_a_caller_whose_time_is_over_is_not_kept",),
        "the caller is cancelled": ("test_a_caller_who_gives_up_is_not_kept",),
        "the connection is lost": ("test_a_connection_that_is_lost_is_kept_for_its_handler",),
        "a request runs longer than the server allows": (
            "test_a_request_ends_with_the_servers_time",
        ),
        "a handler runs on after the close": ("test_a_close_ends_with_the_servers_time",),
        "the handler is that of an event": ("test_an_event_counts_too",),
        "the server stops": ("test_the_stop_leaves_it_after_a_bound_and_answers_its_caller",),
        "it ends within `Limits.cleanup`": (
            "test_who_cleans_up_in_time_is_not_reported",
            "test_it_is_reported_after_the_time_to_clean_up_and_not_before",
        ),
    },
    "A lifespan hangs": {
        "it is never entered": ("test_a_lifespan_that_is_never_entered_ends_with_the_stop",),
        "it does not end with its connection": (
            "test_a_lifespan_that_does_not_end_is_left_by_the_stop",
        ),
    },
}

ALSO: Final = (
    "test_who_cleans_up_is_not_cancelled_again",
    "test_who_ignored_one_cancellation_is_told_again_when_more_has_happened",
)
"""Tests of the text around the tables."""
