%% Baseline beam of the mesh: a node that is started and waits for the names of all, as benchmarks/fleet.py has it.
-module(mesh_bench).
-export([node/0]).

node() ->
    io:format("started~n"),
    Names = string:lexemes(io:get_line(""), " \n"),
    [net_kernel:connect_node(list_to_atom(Name)) || Name <- Names],
    wait(length(Names) - 1),
    io:format("mesh~n"),
    io:get_line(""),
    halt(0).

wait(Count) ->
    case length(nodes()) of
        Count -> ok;
        _ -> timer:sleep(1), wait(Count)
    end.
