%% Baseline beam, three nodes in three OS processes on loopback: a broadcast by pg to 1,000 members.
%%
%% A contender as benchmarks/contender.py describes it. The nodes have one port and an address each, so that no epmd is
%% needed. The peers end when the measuring node does.
-module(groups_bench).
-export([main/0, peer/0]).

-define(MEMBERS, 1000).
-define(SMALL, #{<<"op">> => <<"credit">>, <<"id">> => 123456, <<"amount">> => 12.5, <<"currency">> => <<"USD">>}).

main() ->
    Peers = [list_to_atom(Peer) || Peer <- string:lexemes(os:getenv("BENCH_PEERS"), " ")],
    populate(?MEMBERS - length(Peers) * (?MEMBERS div 3)),
    [connect(Peer, 100) || Peer <- Peers],
    complete(200),
    loop().

connect(Peer, Left) when Left > 0 ->
    case net_kernel:connect_node(Peer) of
        true -> ok;
        _ -> timer:sleep(100), connect(Peer, Left - 1)
    end.

complete(Left) when Left > 0 ->
    case length(pg:get_members(?MODULE, all)) of
        ?MEMBERS -> ok;
        _ -> timer:sleep(100), complete(Left - 1)
    end.

peer() ->
    net_kernel:monitor_nodes(true),
    populate(?MEMBERS div 3),
    receive {nodeup, _} -> ok after 20000 -> halt(1) end,
    receive {nodedown, _} -> halt(0) end.

populate(Count) ->
    {ok, _} = pg:start(?MODULE),
    [pg:join(?MODULE, all, spawn(fun() -> member(count()) end)) || _ <- lists:seq(1, Count)].

%% Counts what comes, and tells the collector of each full round.
member(Left) ->
    receive
        {_, Collector} when Left =:= 1 -> Collector ! round, member(count());
        {_, _} -> member(Left - 1)
    end.

count() ->
    case os:getenv("BENCH_QUICK") of
        "1" -> 200;
        _ -> 500
    end.

loop() ->
    case io:get_line("") of
        eof -> halt(0);
        Line ->
            "groups.broadcast_1000" = string:trim(Line),
            io:format("groups.broadcast_1000 ~w~n", [broadcast()]),
            loop()
    end.

broadcast() ->
    Count = count(),
    Start = erlang:monotonic_time(nanosecond),
    [[Pid ! {?SMALL, self()} || Pid <- pg:get_members(?MODULE, all)] || _ <- lists:seq(1, Count)],
    [receive round -> ok end || _ <- lists:seq(1, ?MEMBERS)],
    Count * ?MEMBERS * 1.0e9 / (erlang:monotonic_time(nanosecond) - Start).
