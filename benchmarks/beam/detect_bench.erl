%% Baseline beam of failure detection: how soon a node notices that another one was killed.
%%
%% A contender as benchmarks/contender.py describes it. For each measure it starts a peer, in a process of its own.
-module(detect_bench).
-export([main/0]).

-define(KILLS, 5).

main() ->
    net_kernel:monitor_nodes(true, [{node_type, all}]),
    loop(open_port({spawn, "/bin/sh"}, [])).

loop(Shell) ->
    case io:get_line("") of
        eof -> halt(0);
        "detect.kill9_ms\n" ->
            io:format("detect.kill9_ms ~w~n", [median([kill_ms(Shell, Number) || Number <- lists:seq(1, ?KILLS)])]),
            loop(Shell)
    end.

kill_ms(Shell, Number) ->
    Peer = list_to_atom(os:getenv("BENCH_PEER")),
    port_command(Shell, [os:getenv("BENCH_PEER_COMMAND"), " >/dev/null 2>&1 &\n"]),
    connect(Peer, 200),
    OsPid = rpc:call(Peer, os, getpid, []),
    receive {nodeup, Peer, _} -> ok end,
    timer:sleep(50 * Number),
    Start = erlang:monotonic_time(microsecond),
    port_command(Shell, ["kill -9 ", OsPid, "\n"]),
    receive {nodedown, Peer, _} -> (erlang:monotonic_time(microsecond) - Start) / 1000 end.

connect(Peer, Left) when Left > 0 ->
    case net_kernel:connect_node(Peer) of
        true -> ok;
        _ -> timer:sleep(50), connect(Peer, Left - 1)
    end.

median(Values) ->
    lists:nth(length(Values) div 2 + 1, lists:sort(Values)).
