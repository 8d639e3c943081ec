//! The examples of `--help`. Each is run as it stands here by a test.

pub(super) const RUN: &str = "\
Examples:
  Without an API server: objects and a graph from files, records as lines for people
    $ observer run --inventory cluster.yaml --graph shop.yaml --output text
  Settings from a file; flags win
    $ observer run --config observer.yaml --inventory cluster.yaml";

pub(super) const FLOWS: &str = "\
Examples:
  What happens from now on
    $ observer flows --follow
  Calls to a ServiceAccount in the last ten minutes, with pods, addresses, reasons and the rest
    $ observer flows --since 10m --to shop/payments -o wide
  Plaintext or unknown, between two namespaces
    $ observer flows --encryption plaintext,unknown --from shop/ --to shop/
  Tokens that are not good, as JSON
    $ observer flows --finding invalid-token --finding identity-mismatch -o json
  What a pod's HTTP requests showed of their sender, and which of them nobody declared
    $ observer flows --pod shop/orders --protocol http/1.1,http/2,grpc --declaration unexpected,ungoverned

Exit codes: 0, also where there are none; 1 if no observer answers; 2 for usage.";

pub(super) const FINDINGS: &str = "\
Examples:
  All that was found on this node since the observer started
    $ observer findings
  What concerns a namespace, with reasons and what to do
    $ observer findings --namespace shop -o wide
  Two kinds, seen in the last hour
    $ observer findings --finding unencrypted,credential-in-cleartext --since 1h

Exit codes: 0, also where some were found; 1 if no observer answers; 2 for usage.";

pub(super) const EDGES: &str = "\
Examples:
  Who calls whom, and what share of it is encrypted, authenticated and declared
    $ observer edges
  Where plaintext goes, the busiest first
    $ observer edges --encryption plaintext --sort flows
  What calls a ServiceAccount although no graph says so
    $ observer edges --to shop/payments --declaration unexpected,ungoverned -o wide

Exit codes: 0, also where there are none; 1 if no observer answers; 2 for usage.";

pub(super) const POSTURE: &str = "\
Examples:
  The worst first, each with what to do about it
    $ observer posture
  Of one namespace, with workloads and powers
    $ observer posture --namespace shop -o wide

Exit codes: 0 if nothing was found, 1 if something was, or no observer answers; 2 for usage.";

pub(super) const GRAPH_CHECK: &str = "\
How: each edge of a ServiceGraph is taken for a call that happens, between pods of the inventory or, without one, between
ServiceAccounts of whose pods nothing is known. If another kind in the same files does not expect it, that is a conflict.
What depends on labels, ports or addresses that are not known is unevaluable: no conflict, and no failure.

Examples:
  Everything that is wrong in a file, one line each
    $ observer graph check shop.yaml
  With the cluster's pods, ServiceAccounts and namespaces, for programs
    $ observer graph check shop.yaml --inventory cluster.yaml -o json

Exit codes: 0 if nothing is wrong, also with warnings; 1 for errors and conflicts; 2 for usage.";

pub(super) const GRAPH_EXPORT: &str = "\
Edges with findings identity-mismatch or invalid-token are left out: look into them first. Nothing that was found is
silenced: no edge says `optional`.

Examples:
  What was called since the observer started, as ServiceGraphs
    $ observer graph export
  Of one namespace and the last hour, as NetworkPolicies
    $ observer graph export --format networkpolicy --namespace shop --since 1h

Exit codes: 0; 1 if edges were left out because of findings (the others are printed), or no observer answers; 2 for usage.";

pub(super) const GRAPH_DIFF: &str = "\
Without --prometheus, what this node's observer saw; with it, what all observers did that it scrapes.

Examples:
  What is declared and was not seen, and what was seen and is not declared
    $ observer graph diff
  A file that is not in force yet, against the last hour in one namespace
    $ observer graph diff --graph shop.yaml --since 1h --namespace shop -o json

Exit codes: 0 if there is no difference, 1 if there is one, or nobody answers; 2 for usage.";

pub(super) const UI: &str = "\
Examples:
  The address to open in a browser on this machine
    $ observer ui
  At a port of one's own choice, to forward it: kubectl port-forward, ssh -L
    $ observer ui --listen 127.0.0.1:9470

Exit codes: 0 once it is told to end; 1 if no observer answers, or the address is taken; 2 for usage.";

pub(super) const DOCTOR: &str = "\
Examples:
  What this kernel and cluster allow, what is degraded, and the way out
    $ observer doctor
  The same for programs
    $ observer doctor -o json

Exit codes: 0 if it can observe here, also with losses; 1 if it cannot; 2 for usage.";

pub(super) const EXPLAIN: &str = "\
Examples:
  All words that can be explained, in a line each
    $ observer explain
  A finding: why it matters, what proves it, what to do, how to confirm and how to exempt it
    $ observer explain credential-in-cleartext
  A reason in a record
    $ observer explain attached-mid-stream";

pub(super) const COMPLETION: &str = "\
Examples:
  In this bash
    $ source <(observer completion bash)
  For fish, from its next start on
    $ observer completion fish >~/.config/fish/completions/observer.fish
  For zsh, in a directory of $fpath
    $ observer completion zsh >~/.zfunc/_observer";
