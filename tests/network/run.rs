// One test for each scenario, with `OPTIONS` of the file that includes this one.

macro_rules! scenarios {
    ($($name:ident),+ $(,)?) => {
        $(#[test]
        fn $name() {
            scenarios::$name(OPTIONS);
        })+
    };
}

scenarios!(
    half_closed,
    closed_while_paused,
    quit_in_a_pipeline,
    protocol_errors,
    replies_off_and_skip,
    empty_requests,
    byte_by_byte,
    first_command_comes_with_the_connection,
    a_million_tiny_commands,
    paused_client_keeps_sending,
    unauthenticated_flood,
    limits_before_login,
    large_values,
    endless_requests,
    fairness,
    slow_and_fast_readers,
    nobody_waits_whose_peer_has_gone,
    storm_of_resets,
    maxclients,
    no_file_descriptors,
    unix_socket,
    ipv6,
    deep_pipelines,
    killed_in_a_pipeline,
    ends_with_the_process,
    idle_clients_give_up_their_buffers,
);
