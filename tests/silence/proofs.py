"""The tests of those rows of docs/failures.md that ``test_failures`` does not try itself, by section and first cell."""

from collections.abc import Mapping
from typing import Final

PROOFS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "Connecting fails": {
        "no server listens at the address": ("test_connect_refused_raises_connect_failed",),
        "the server does not accept the connection (Unix)": (
            "test_connect_unix_unaccepted_times_out",
        ),
        "the server does not accept the connection (TCP)": (
            "test_connect_tcp_unaccepted_times_out",
        ),
        "the server accepts it in time": ("test_connect_unix_accepted_in_time_succeeds",),
        "the first address of the host does not answer (TCP)": (
            "test_connect_tcp_skips_address_that_does_not_answer",
        ),
        "the server never answers the TLS handshake": (
            "test_connect_tls_without_handshake_times_out",
        ),
        "the server has no free file descriptor": (
            "test_server_without_descriptors_serves_and_recovers",
        ),
        "the server's lifespan rejects the client, or fails": (
            "test_lifespan_rejecting_ends_connection_with_one_line",
            "test_lifespan_failing_to_start_ends_connection",
        ),
        "the caller is cancelled": ("test_connect_cancelled_leaves_nothing",),
    },
    "A login fails": {
        "the server rejects the first login": ("test_login_failing_at_first_fails_the_connection",),
        "the server has no authenticators, or is too old": (
            "test_server_without_authenticators_has_no_logins",
        ),
        "the function raises when the client connects": (
            "test_login_failing_at_first_fails_the_connection",
        ),
        "the function, or the server, takes too long": ("test_login_that_takes_too_long_fails",),
        "the connection is lost during the first login": (
            "test_connection_lost_during_login_fails",
        ),
        "the function raises after a reconnect": ("test_client_logs_in_again_after_reconnect",),
        "the server rejects a login after a reconnect": (
            "test_login_rejected_after_reconnect_ends_the_connection",
        ),
        "a login before the expiry fails": ("test_client_renews_its_login",),
        "the login expires": ("test_expired_login_ends_its_calls_and_rejects_new_ones",),
    },
    "A process that the client started fails": {
        "the program cannot be started": (
            "test_program_that_cannot_be_started_raises",
            "test_missing_working_directory_raises",
        ),
        "the process exits or is killed": (
            "test_process_that_is_no_server_fails_calls",
            "test_exit_of_server_ends_open_calls",
            "test_reply_before_exit_is_delivered",
        ),
        "the process writes a first line that is not a message": (
            "test_process_that_is_no_server_fails_calls",
        ),
        "the process closes its stdin or stdout, and runs on": (
            "test_process_that_is_no_server_fails_calls",
        ),
        "the process exits, and a child outside of its process group has its stdout": (
            "test_child_that_left_group_does_not_keep_connection",
        ),
        "the process does not exit after the block": (
            "test_block_end_ends_process_and_its_children",
        ),
        "the process leaves children in its process group": (
            "test_block_end_ends_process_and_its_children",
            "test_exit_inside_block_ends_children",
        ),
        "the caller is cancelled": (
            "test_cancel_at_every_await_leaves_nothing",
            "test_cancel_while_process_ignores_sigterm_kills_it",
        ),
    },
    "Over HTTP and WebSocket": {
        "the server of `serve_http` stops": (
            "test_serve_http_stop_answers_calls_then_ends",
            "test_serve_http_stop_answers_posts_and_feeds",
            "test_serve_http_sigterm_answers_every_call",
        ),
        "an ASGI server stops after `app.stop()`": (
            "test_websocket_stop_answers_every_call_and_closes_with_1001",
            "test_stop_answers_every_call_then_feeds_end",
        ),
        "an ASGI server stops without `app.stop()` (WebSocket)": (
            "test_websocket_server_shutdown_ends_connections",
        ),
        "the process of the server is killed (WebSocket)": (
            "test_websocket_in_process_of_asgi_server",
        ),
        "it connects, or begins a call, while the server stops": (
            "test_serve_http_stop_answers_posts_and_feeds",
        ),
        "its origin or host name is not allowed": (
            "test_websocket_origin_decides_about_pages",
            "test_websocket_host_decides_about_clients",
            "test_origin_is_allowed_or_answered_403",
            "test_unknown_host_name_is_answered_403",
        ),
        "the server has no room for it": (
            "test_websocket_too_many_connections_closes_with_1013",
            "test_sessions_beyond_limit_are_answered_503",
        ),
        "the server's lifespan rejects it (HTTP)": (
            "test_lifespan_sees_request_and_may_reject_it",
        ),
        "an event is rejected by who calls or by a rule (HTTP)": (
            "test_refused_event_is_answered_403",
            "test_event_that_rule_denies_is_answered_403",
            "test_event_beyond_rate_limit_is_answered_429",
        ),
        "a POST names the session of another identity (HTTP)": (
            "test_foreign_message_to_call_is_answered_403",
            "test_foreign_opening_on_feed_is_answered_403",
            "test_foreign_messages_never_end_the_feed",
        ),
        "a message is larger than the other side allows (WebSocket)": (
            "test_websocket_reply_beyond_client_limit_has_meaning",
            "test_serve_http_large_frame_closes_with_1009",
        ),
        "a request is larger than the server allows (HTTP)": ("test_large_body_is_answered_413",),
        "the server, or a proxy, answers a call with a status alone (HTTP)": (
            "test_http_status_fails_request_alone",
            "test_http_status_fails_later_stream_alone",
        ),
        "an answer is no reply to its call (HTTP)": (
            "test_http_request_without_message_fails_alone",
        ),
        "the connection of a request breaks (HTTP)": (
            "test_http_request_without_answer_is_lost_alone",
        ),
        "the feed ends or breaks (HTTP)": ("test_http_end_of_feed_loses_its_streams_alone",),
        "the feed of a server of this library is silent (HTTP)": (
            "test_http_silent_feed_of_ours_is_lost",
        ),
        "a request takes longer than a proxy waits (HTTP)": (
            "test_slow_request_gets_its_headers_at_once",
        ),
        "the client leaves a request or its feed (HTTP)": (
            "test_client_that_leaves_cancels_its_handlers",
            "test_serve_http_client_leaving_cancels_handlers",
        ),
        "the client leaves its WebSocket": ("test_websocket_client_leaving_cancels_handlers",),
        "the client reads nothing of its feed": ("test_reader_that_never_reads_holds_up_nobody",),
        "the client does not finish the body of a request": ("test_slow_body_is_answered_408",),
        "unfinished bodies use up `Limits.memory`": (
            "test_unfinished_bodies_are_counted_and_freed",
        ),
        "the client does not finish the head of a request (`serve_http`)": (
            "test_serve_http_slow_head_ends_connection",
        ),
        "the head of a request has more than 64 KiB (`serve_http`)": (
            "test_serve_http_large_head_is_rejected",
        ),
        "the client does not answer the end of its WebSocket (`serve_http`)": (
            "test_serve_http_end_is_bounded_by_silent_websocket",
        ),
        "the client holds up the stop: an unfinished body, an unread feed (`serve_http`)": (
            "test_serve_http_end_is_bounded_by_http_client",
        ),
    },
    "The client dies or is silent": {
        "its process is killed": ("test_killed_client_leaves_nothing",),
        "it closes or resets the socket": ("test_disconnect_of_each_kind_cancels_handler",),
        "it closes the socket in the middle of a message": (
            "test_client_ending_inside_line_leaves_nothing",
            "test_faults_cut_inside_message_does_not_execute_it",
        ),
        "it ends its side and never reads": ("test_half_closed_peer_that_never_reads_is_dropped",),
        "it ends the server's stdin, and still reads": (
            "test_server_answers_all_of_its_input",
            "test_handlers_end_of_input_lets_them_finish",
        ),
        "it reads no more of the server's stdout": (
            "test_handlers_of_client_that_reads_no_more_are_cancelled",
        ),
        "its machine is gone (TCP)": ("test_keepalive_detects_lost_peers_and_keeps_silent_ones",),
        "it is half open, and the write buffer is full": (
            "test_half_open_connection_with_unread_bytes_is_dropped",
        ),
        "it reads nothing, and the write buffer is full": (
            "test_handler_waiting_for_buffer_is_cancelled_with_client",
            "test_server_drops_client_that_reads_nothing",
            "test_unread_time_ignores_bytes_written_meanwhile",
        ),
        "it is stopped, and the write buffer is full": (
            "test_stopped_client_with_unread_bytes_is_dropped",
            "test_continued_client_loses_only_its_full_connection",
        ),
        "it reads slowly": (
            "test_slow_reader_is_not_dropped",
            "test_reader_that_catches_up_is_not_dropped",
        ),
        "it is stopped, and its calls have a timeout": (
            "test_stopped_client_calls_end_at_deadline",
        ),
        "it is stopped, and its calls have no timeout": (
            "test_stopped_client_calls_without_timeout_wait",
            "test_continued_client_loses_only_its_full_connection",
            "test_stalled_peer_that_recovers_receives_everything",
        ),
        "it does not read its replies": ("test_requests_with_unread_replies_do_not_grow_server",),
        "it sends invalid messages": ("test_invalid_messages_are_reported_and_calls_continue",),
        "it sends an endless line": ("test_endless_line_ends_connection",),
        "it begins a message of more than 4 KiB and does not finish it": (
            "test_message_that_takes_too_long_ends_the_connection",
        ),
        "it sends lines that are too short for messages": (
            "test_lines_too_short_for_messages_end_the_connection",
        ),
        "it sends more invalid messages than `Limits.invalid`": (
            "test_invalid_messages_beyond_limit_end_the_connection",
        ),
        "it makes the server hold memory that is never freed": (
            "test_memory_that_is_never_freed_ends_largest_connection",
            "test_server_with_little_memory_survives_hostile_clients",
        ),
        "it never finishes the TLS handshake": (
            "test_tls_client_without_handshake_is_dropped",
            "test_tls_stalled_handshakes_end_and_delay_no_other",
        ),
        "it sends nothing and has no open call": (
            "test_limit_idle_drops_client_without_open_call",
        ),
        "its own event loop was blocked": ("test_client_with_blocked_event_loop_keeps_connection",),
        "it is stopped while the server stops": (
            "test_stopped_client_does_not_delay_stop",
            "test_stop_drops_client_that_reads_nothing",
        ),
    },
    "A call from the server to a client": {
        "it is lost": (
            "test_lost_connection_ends_calls_of_both_ways",
            "test_lost_client_ends_call_that_waits_for_it",
            "test_client_of_lost_connection_raises_connection_lost",
        ),
        "it has no handler": (
            "test_client_without_handler_is_not_supported",
            "test_client_that_shows_no_call_is_never_called",
        ),
        "it has sent no message yet": ("test_call_waits_for_first_message_of_client",),
        "it does not answer": ("test_deadline_of_server_ends_its_call",),
        "it sends nothing at all": ("test_silent_client_is_pinged_and_lost",),
        "it closes its connection, and its handler does not finish": (
            "test_close_cancels_handlers_of_client_in_time",
        ),
        "the server stops": ("test_stop_ends_handlers_that_wait_for_callbacks",),
        "it replies to unknown calls, or twice": ("test_strange_reply_of_client_harms_nothing",),
        "it sends more items than it was granted": (
            "test_client_that_exceeds_its_window_loses_the_call",
        ),
        "it sends a result of more than `Limits.values` values": (
            "test_result_with_too_many_values_ends_the_call",
        ),
        "it sends more invalid replies than `Limits.invalid`": (
            "test_invalid_replies_of_client_end_connection",
        ),
    },
    "A peer reads nothing": {
        "the server does not read its requests": ("test_client_drops_server_that_reads_nothing",),
        "an event waits for the write buffer": ("test_event_waiting_for_buffer_raises_with_cause",),
        "the connection is being closed": (
            "test_close_ends_after_shorter_of_within_and_unread_time",
            "test_memory_close_ends_after_shorter_of_both_times",
        ),
        "both sides of a channel send, and neither takes an item": (
            "test_channel_flooded_both_ways_unread_blocks_until_abort",
        ),
    },
    "A handler ignores its cancellation": {
        "the call's deadline passes": ("test_stuck_handler_call_ends_at_deadline",),
        "the caller is cancelled": ("test_stuck_handler_cancelled_caller_returns",),
        "the connection is lost": ("test_stuck_handler_keeps_lost_connection_counted",),
        "a request runs longer than the server allows": (
            "test_stuck_handler_request_ends_at_server_request_time",
        ),
        "a handler runs on after the close": (
            "test_stuck_handler_close_ends_at_server_close_timeout",
        ),
        "the handler is that of an event": ("test_stuck_handler_of_event_is_counted",),
        "the server stops": ("test_stuck_handler_does_not_hang_stop_and_caller_is_answered",),
        "it ends within `Limits.cleanup`": (
            "test_handler_cleaning_up_in_time_is_not_reported",
            "test_stuck_handler_is_reported_only_after_cleanup_time",
        ),
    },
    "A lifespan hangs": {
        "it is never entered": ("test_stop_ends_lifespan_that_never_starts",),
        "it does not end with its connection": ("test_stop_leaves_lifespan_that_does_not_end",),
    },
}

ALSO: Final = (
    "test_handler_cleaning_up_is_not_cancelled_again",
    "test_handler_ignoring_cancellation_is_cancelled_again_later",
)
"""Tests of the text around the tables."""
