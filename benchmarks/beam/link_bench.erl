%% Baseline beam, between two nodes of two OS processes on loopback: gen_server over Erlang distribution.
%%
%% A contender as benchmarks/contender.py describes it. The measuring node is hidden and listens nowhere; it starts its
%% peer at a port both know, so that no epmd is needed. The peer ends when the measuring node does.
-module(link_bench).
-behaviour(gen_server).
-export([main/0, peer/0, nothing/0, init/1, handle_call/3, handle_cast/2]).

-define(CALLERS, 100).
-define(SMALL, #{<<"op">> => <<"credit">>, <<"id">> => 123456, <<"amount">> => 12.5, <<"currency">> => <<"USD">>}).

main() ->
    Server = {?MODULE, connect(list_to_atom(os:getenv("BENCH_PEER")), 100)},
    loop(Server).

connect(Peer, Left) when Left > 0 ->
    case net_kernel:connect_node(Peer) andalso rpc:call(Peer, erlang, whereis, [?MODULE]) of
        Pid when is_pid(Pid) -> Peer;
        _ -> timer:sleep(100), connect(Peer, Left - 1)
    end.

peer() ->
    {ok, _} = gen_server:start({local, ?MODULE}, ?MODULE, [], []),
    net_kernel:monitor_nodes(true, [{node_type, all}]),
    receive {nodeup, _, _} -> ok after 20000 -> halt(1) end,
    receive {nodedown, _, _} -> halt(0) end.

loop(Server) ->
    case io:get_line("") of
        eof -> halt(0);
        Line ->
            [io:format("~s ~w ", [Name, Value]) || {Name, Value} <- measure(string:trim(Line), Server)],
            io:format("~n"),
            loop(Server)
    end.

measure("link.one_way", Server) ->
    [{"link.one_way", one_way(Server, ?SMALL, scaled(60000))}];
measure("link.call", Server) ->
    Latencies = lists:sort([latency_us(Server) || _ <- lists:seq(1, scaled(3000))]),
    [{"link.call_p50_us", percentile(Latencies, 50)}, {"link.call_p99_us", percentile(Latencies, 99)}];
measure("link.call_100", Server) ->
    [{"link.call_100", calls(Server, scaled(20000))}];
measure("link.payload_64k", Server) ->
    [{"link.payload_64k", payload(Server, 64 * 1024, 256 bsl 20)}];
measure("link.payload_1m", Server) ->
    [{"link.payload_1m", payload(Server, 1 bsl 20, 512 bsl 20)}];
measure("remote.spawn" = Name, {_, Peer}) ->
    [{Name, together(scaled(5000), 1, fun() -> spawn(Peer, ?MODULE, nothing, []) end)}];
measure("remote.spawn_awaited" = Name, {_, Peer}) ->
    [{Name, together(scaled(5000), 1, fun() -> spawn(Peer, ?MODULE, nothing, []) end)}];
measure("remote.spawn_100" = Name, {_, Peer}) ->
    [{Name, together(scaled(40000), ?CALLERS, fun() -> spawn(Peer, ?MODULE, nothing, []) end)}];
measure("remote.erpc_call" = Name, {_, Peer}) ->
    [{Name, together(scaled(20000), ?CALLERS, fun() -> erpc:call(Peer, ?MODULE, nothing, []) end)}].

%% How many a second so many processes start, each one after the other.
together(Count, Callers, Start) ->
    Each = Count div Callers,
    per_s(Each * Callers, fun() ->
        Processes = [spawn_monitor(fun() -> repeat(Start, Each) end) || _ <- lists:seq(1, Callers)],
        [receive {'DOWN', Ref, _, _, normal} -> ok end || {_, Ref} <- Processes]
    end).

repeat(_, 0) -> ok;
repeat(Start, Left) -> Start(), repeat(Start, Left - 1).

nothing() -> ok.

scaled(Count) ->
    case os:getenv("BENCH_QUICK") of
        "1" -> max(200, Count div 50);
        _ -> Count
    end.

per_s(Count, Fun) ->
    Start = erlang:monotonic_time(nanosecond),
    Fun(),
    Count * 1.0e9 / (erlang:monotonic_time(nanosecond) - Start).

one_way(Server, Message, Count) ->
    per_s(Count, fun() ->
        cast_all(Server, Message, Count),
        Count = gen_server:call(Server, count, infinity)
    end).

cast_all(_, _, 0) -> ok;
cast_all(Server, Message, Left) -> gen_server:cast(Server, Message), cast_all(Server, Message, Left - 1).

latency_us(Server) ->
    Start = erlang:monotonic_time(nanosecond),
    #{<<"op">> := _} = gen_server:call(Server, ?SMALL),
    (erlang:monotonic_time(nanosecond) - Start) / 1000.

percentile(Sorted, Percent) -> lists:nth(max(1, length(Sorted) * Percent div 100), Sorted).

calls(Server, Count) ->
    Each = Count div ?CALLERS,
    per_s(Each * ?CALLERS, fun() ->
        Processes = [spawn_monitor(fun() -> call_all(Server, Each) end) || _ <- lists:seq(1, ?CALLERS)],
        [receive {'DOWN', Ref, _, _, _} -> ok end || {_, Ref} <- Processes]
    end).

call_all(_, 0) -> ok;
call_all(Server, Left) -> #{<<"op">> := _} = gen_server:call(Server, ?SMALL), call_all(Server, Left - 1).

payload(Server, SizeBytes, TotalBytes) ->
    one_way(Server, binary:copy(<<0>>, SizeBytes), scaled(TotalBytes div SizeBytes)) * SizeBytes / 1.0e6.

%% The peer's server: counts casts, echoes calls.
init([]) -> {ok, 0}.
handle_call(count, _From, Count) -> {reply, Count, 0};
handle_call(Request, _From, Count) -> {reply, Request, Count}.
handle_cast(_Request, Count) -> {noreply, Count + 1}.
