%% Baseline beam, within one node: processes and gen_server of Erlang/OTP.
%%
%% A contender as benchmarks/contender.py describes it: the name of a measure comes in, "name value" goes out.
-module(local_bench).
-behaviour(gen_server).
-export([main/0, init/1, handle_call/3, handle_cast/2]).

-define(CALLERS, 100).

main() ->
    case io:get_line("") of
        eof -> halt(0);
        Line ->
            Name = string:trim(Line),
            io:format("~s ~w~n", [Name, measure(Name)]),
            main()
    end.

measure("local.burst") -> burst(scaled(1000000));
measure("local.ping_pong") -> ping_pong(scaled(300000));
measure("local.call") -> calls(scaled(200000), 1);
measure("local.call_100") -> calls(scaled(300000), ?CALLERS);
measure("local.cast") -> casts(scaled(500000));
measure("local.spawn") -> spawns(scaled(200000));
measure("local.memory_coroutine") -> idle_bytes(fun() -> spawn(fun idle/0) end);
measure("local.memory_server") -> idle_bytes(fun start_server/0);
measure("local.timer_lateness_flood_ms") -> timer_lateness().

scaled(Count) ->
    case os:getenv("BENCH_QUICK") of
        "1" -> max(200, Count div 50);
        _ -> Count
    end.

per_s(Count, Fun) ->
    Start = erlang:monotonic_time(nanosecond),
    Fun(),
    Count * 1.0e9 / (erlang:monotonic_time(nanosecond) - Start).

burst(Count) ->
    Self = self(),
    per_s(Count, fun() ->
        Receiver = spawn_link(fun() -> receive_all(Count), Self ! done end),
        send_all(Receiver, Count),
        receive done -> ok end
    end).

receive_all(0) -> ok;
receive_all(Left) -> receive _ -> receive_all(Left - 1) end.

send_all(_, 0) -> ok;
send_all(To, Left) -> To ! Left, send_all(To, Left - 1).

ping_pong(Count) ->
    Self = self(),
    Echo = spawn_link(fun() -> echo(Self) end),
    Rate = per_s(Count, fun() -> ping(Echo, Count) end),
    Echo ! stop,
    Rate.

echo(Partner) -> receive stop -> ok; Message -> Partner ! Message, echo(Partner) end.

ping(_, 0) -> ok;
ping(Echo, Left) -> Echo ! Left, receive Left -> ping(Echo, Left - 1) end.

calls(Count, Callers) ->
    Server = start_server(),
    Each = Count div Callers,
    Rate = per_s(Count, fun() ->
        wait_for([spawn_monitor(fun() -> call_all(Server, Each) end) || _ <- lists:seq(1, Callers)])
    end),
    gen_server:stop(Server),
    Rate.

call_all(_, 0) -> ok;
call_all(Server, Left) -> Left = gen_server:call(Server, Left), call_all(Server, Left - 1).

wait_for(Processes) -> [receive {'DOWN', Ref, _, _, _} -> ok end || {_, Ref} <- Processes].

casts(Count) ->
    Server = start_server(),
    Rate = per_s(Count, fun() -> cast_all(Server, Count), done = gen_server:call(Server, done, infinity) end),
    gen_server:stop(Server),
    Rate.

cast_all(_, 0) -> ok;
cast_all(Server, Left) -> gen_server:cast(Server, Left), cast_all(Server, Left - 1).

spawns(Count) -> per_s(Count, fun() -> [spawn_batch(10000) || _ <- lists:seq(1, Count div 10000)] end).

%% From start over one message to the end of each.
spawn_batch(Count) ->
    Self = self(),
    Pids = [spawn(fun() -> receive go -> Self ! done end end) || _ <- lists:seq(1, Count)],
    [Pid ! go || Pid <- Pids],
    [receive done -> ok end || _ <- Pids].

idle_bytes(Start) ->
    Count = scaled(50000),
    Before = erlang:memory(total),
    Pids = [Start() || _ <- lists:seq(1, Count)],
    timer:sleep(100),
    Size = (erlang:memory(total) - Before) / Count,
    [exit(Pid, kill) || Pid <- Pids],
    Size.

idle() -> receive stop -> ok end.

timer_lateness() ->
    Flood = spawn(fun() -> Self = self(), flood(spawn_link(fun() -> echo(Self) end)) end),
    Late = lists:sort([late_ms() || _ <- lists:seq(1, scaled(100000) div 1000)]),
    exit(Flood, kill),
    lists:nth(max(1, length(Late) * 99 div 100), Late).

flood(Echo) -> Echo ! 1, receive 1 -> flood(Echo) end.

late_ms() ->
    Start = erlang:monotonic_time(microsecond),
    receive after 10 -> ok end,
    (erlang:monotonic_time(microsecond) - Start) / 1000 - 10.

%% The server that all calls and casts go to.
start_server() -> {ok, Pid} = gen_server:start(?MODULE, [], []), Pid.
init([]) -> {ok, nothing}.
handle_call(Request, _From, State) -> {reply, Request, State}.
handle_cast(_Request, State) -> {noreply, State}.
