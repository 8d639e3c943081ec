//! Policies by chance against another reading of the documentation: straight from the objects, without an index.

use std::net::IpAddr;

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use crate::graph::GraphKind;
use crate::graph::import::cluster::{self, Cluster};

/// `yes`, `no` or `unsure`, by how much it allows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Answer {
    No,
    Unsure,
    Yes,
}

struct End {
    /// `namespace`, labels.
    pod: Option<(&'static str, Value)>,
    node: Option<String>,
    own_address: bool,
    ip: IpAddr,
}

/// What [`Cluster`] is asked about, as another reader has it.
const ENDS: [&str; 10] = [
    "x/a",
    "x/b+role=web",
    "y/a+role=db",
    "y/c",
    "z/b+role=web",
    "host x/a+role=web",
    "host y/b",
    "node n-x",
    "external@192.0.2.1",
    "external@2001:db8::5",
];

fn end(text: &str) -> End {
    let (who, address) = text.split_once('@').unwrap_or((text, "172.16.0.1"));
    let ip = address.parse().unwrap();
    let of_pod = |text: &str, own_address: bool| {
        let (name, role) = text.split_once("+role=").map_or((text, None), |(name, role)| (name, Some(role)));
        let (namespace, pod) = name.split_once('/').unwrap();
        let namespace = ["x", "y", "z"].into_iter().find(|known| *known == namespace).unwrap();
        let mut labels = json!({"pod": pod});
        if let Some(role) = role {
            labels["role"] = role.into();
        }
        let place = |name: &str, first: &str| name.as_bytes()[0] - first.as_bytes()[0] + 1;
        let ip = if own_address { [10, 0, place(namespace, "x"), place(pod, "a")].into() } else { ip };
        End { pod: Some((namespace, labels)), node: Some(format!("n-{namespace}")), own_address, ip }
    };
    match who.split_once(' ') {
        Some(("host", pod)) => of_pod(pod, false),
        Some(("node", name)) => End { pod: None, node: Some(name.into()), own_address: false, ip },
        _ if who == "external" => End { pod: None, node: None, own_address: true, ip },
        _ => of_pod(who, true),
    }
}

fn selects(selector: &Value, labels: &Value) -> bool {
    let equal = selector["matchLabels"].as_object();
    let expressions = selector["matchExpressions"].as_array();
    equal.into_iter().flatten().all(|(key, value)| labels[key] == *value)
        && expressions.into_iter().flatten().all(|expression| {
            let value = &labels[expression["key"].as_str().unwrap()];
            let listed = expression["values"].as_array().is_some_and(|values| values.contains(value));
            match expression["operator"].as_str().unwrap() {
                "In" => listed,
                "NotIn" => !listed,
                "Exists" => !value.is_null(),
                _ => value.is_null(),
            }
        })
}

fn peer(peer: &Value, policy_namespace: &str, end: &End) -> Answer {
    if let Some(block) = peer.get("ipBlock") {
        let within =
            |range: &Value| range.as_str().unwrap().parse::<ipnet::IpNet>().unwrap().contains(&end.ip);
        if !within(&block["cidr"]) || block["except"].as_array().into_iter().flatten().any(within) {
            return Answer::No;
        }
        return if end.pod.is_some() && end.own_address { Answer::Unsure } else { Answer::Yes };
    }
    let Some((namespace, labels)) = &end.pod else { return Answer::No };
    let in_namespace = match peer.get("namespaceSelector") {
        None => policy_namespace == *namespace,
        Some(selector) => {
            selects(selector, &json!({"ns": namespace, "kubernetes.io/metadata.name": namespace}))
        }
    };
    match in_namespace && selects(&peer["podSelector"], labels) {
        false => Answer::No,
        true if end.own_address => Answer::Yes,
        true => Answer::Unsure,
    }
}

fn port(port: &Value, server: &End, number: u16, protocol: &str) -> bool {
    if port["protocol"].as_str().unwrap_or("TCP") != protocol {
        return false;
    }
    match (&port["port"], port["endPort"].as_u64()) {
        (Value::Null, _) => true,
        (Value::String(name), _) => {
            server.pod.is_some() && [80, 81].contains(&number) && *name == format!("serve-{number}-tcp")
        }
        (first, last) => {
            let first = first.as_u64().unwrap();
            (first..=last.unwrap_or(first)).contains(&number.into())
        }
    }
}

/// One direction: `subject` is isolated, or not, and `other` is who it talks with.
fn direction(
    policies: &[Value],
    name: &str,
    ends: (&End, &End, &End),
    number: u16,
    protocol: &str,
) -> Answer {
    let (subject, other, server) = ends;
    let (Some((namespace, labels)), true) = (&subject.pod, subject.own_address) else { return Answer::Yes };
    let section = &name.to_lowercase();
    let selected: Vec<&Value> = policies
        .iter()
        .filter(|policy| policy["metadata"]["namespace"] == *namespace)
        .map(|policy| &policy["spec"])
        .filter(|spec| selects(&spec["podSelector"], labels))
        .filter(|spec| match spec["policyTypes"].as_array() {
            Some(types) => types.contains(&name.into()),
            None => name == "Ingress" || spec["egress"].as_array().is_some_and(|rules| !rules.is_empty()),
        })
        .collect();
    let own_node = name == "Ingress" && !other.own_address && other.node == subject.node;
    if selected.is_empty() || own_node {
        return Answer::Yes;
    }
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let rules = selected.iter().flat_map(|spec| list(&spec[section]));
    let answers = rules.map(|rule| {
        let ports = list(&rule["ports"]);
        if !ports.is_empty() && !ports.iter().any(|wanted| port(wanted, server, number, protocol)) {
            return Answer::No;
        }
        let peers = list(&rule[if name == "Ingress" { "from" } else { "to" }]);
        let best = peers.iter().map(|wanted| peer(wanted, namespace, other)).max();
        best.unwrap_or(Answer::Yes)
    });
    answers.max().unwrap_or(Answer::No)
}

fn naive(policies: &[Value], client: &str, server: &str, number: u16, protocol: &str) -> &'static str {
    // "A Pod cannot block access to itself" (kubernetes.io, "Network Policies").
    let pod = |end: &str| {
        let name = end.strip_prefix("host ").unwrap_or(end).to_owned();
        name.split_once('+').map_or(name.clone(), |(name, _)| name.to_owned())
    };
    if pod(client) == pod(server) && pod(client).contains('/') {
        return "yes";
    }
    let (client, server) = (end(client), end(server));
    let ingress = direction(policies, "Ingress", (&server, &client, &server), number, protocol);
    let egress = direction(policies, "Egress", (&client, &server, &server), number, protocol);
    match ingress.min(egress) {
        Answer::No => "no",
        Answer::Unsure => "unsure",
        Answer::Yes => "yes",
    }
}

fn selector(keys: &'static [(&'static str, &'static str)]) -> impl Strategy<Value = Value> {
    let pair = move || select(keys);
    prop_oneof![
        Just(json!({})),
        pair().prop_map(|(key, value)| json!({"matchLabels": {key: value}})),
        (pair(), select(vec!["In", "NotIn"]), pair()).prop_map(|((key, one), operator, (_, other))| {
            json!({"matchExpressions": [{"key": key, "operator": operator, "values": [one, other]}]})
        }),
        (pair(), select(vec!["Exists", "DoesNotExist"])).prop_map(
            |((key, _), operator)| json!({"matchExpressions": [{"key": key, "operator": operator}]})
        ),
    ]
}

fn pods() -> impl Strategy<Value = Value> {
    selector(&[("pod", "a"), ("pod", "b"), ("role", "web"), ("role", "db"), ("absent", "c")])
}

fn namespaces() -> impl Strategy<Value = Value> {
    selector(&[("ns", "x"), ("ns", "y"), ("kubernetes.io/metadata.name", "z"), ("team", "blue")])
}

fn peers() -> impl Strategy<Value = Value> {
    let block = |(cidr, except): (&str, &str)| match except {
        "" => json!({"ipBlock": {"cidr": cidr}}),
        _ => json!({"ipBlock": {"cidr": cidr, "except": [except]}}),
    };
    let blocks = vec![
        ("10.0.0.0/8", ""),
        ("10.0.0.0/8", "10.0.2.0/24"),
        ("0.0.0.0/0", "10.0.0.0/8"),
        ("192.0.2.0/24", "192.0.2.1/32"),
        ("172.16.0.1/30", ""),
        ("2001:db8::/32", "2001:db8:1::/48"),
    ];
    let peer = prop_oneof![
        pods().prop_map(|pods| json!({"podSelector": pods})),
        namespaces().prop_map(|namespaces| json!({"namespaceSelector": namespaces})),
        (pods(), namespaces())
            .prop_map(|(pods, namespaces)| json!({"podSelector": pods, "namespaceSelector": namespaces})),
        select(blocks).prop_map(block),
    ];
    prop::collection::vec(peer, 0..3).prop_map(Value::from)
}

fn ports() -> impl Strategy<Value = Value> {
    let ports = vec![
        json!({}),
        json!({"protocol": "UDP"}),
        json!({"port": 80}),
        json!({"port": 81, "protocol": "UDP"}),
        json!({"port": 79, "endPort": 80}),
        json!({"port": 81, "endPort": 65535, "protocol": "TCP"}),
        json!({"port": "serve-80-tcp"}),
        json!({"port": "serve-81-tcp", "protocol": "UDP"}),
        json!({"port": 80, "protocol": "SCTP"}),
    ];
    prop::collection::vec(select(ports), 0..3).prop_map(Value::from)
}

fn rules(side: &'static str) -> impl Strategy<Value = Value> {
    let rule = (peers(), ports()).prop_map(move |(peers, ports)| json!({side: peers, "ports": ports}));
    prop_oneof![Just(Value::Null), prop::collection::vec(rule, 0..3).prop_map(Value::from)]
}

fn policies() -> impl Strategy<Value = Vec<Value>> {
    let types =
        select(vec![Value::Null, json!(["Ingress"]), json!(["Egress"]), json!(["Ingress", "Egress"])]);
    let policy = (select(vec!["x", "y"]), pods(), types, rules("from"), rules("to"));
    let policy = policy.prop_map(|(namespace, pods, types, ingress, egress)| {
        let spec = json!({"podSelector": pods, "policyTypes": types, "ingress": ingress, "egress": egress});
        cluster::object(Some(namespace), "", &spec)
    });
    prop::collection::vec(policy, 0..5).prop_map(|mut policies| {
        for (number, policy) in policies.iter_mut().enumerate() {
            policy["metadata"]["name"] = format!("p{number}").into();
        }
        policies
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_policies_are_judged_as_a_plain_reading_of_them_judges(
        policies in policies(),
        number in select(vec![79u16, 80, 81, 82]),
        protocol in select(vec!["tcp", "udp"]),
    ) {
        let graph = cluster::compile(GraphKind::NetworkPolicy, policies.clone());
        let cluster = Cluster::new();
        for client in ENDS {
            for server in ENDS {
                let flow = format!("{client} > {server} {number}/{protocol}");
                let expected = naive(&policies, client, server, number, &protocol.to_uppercase());
                prop_assert_eq!(cluster.passes(&graph, &flow), expected, "{}", flow);
            }
        }
        // Ends of which less is known are judged without fail.
        for (client, server) in [("unknown", "x/a"), ("x/a", "unknown"), ("w/a", "x/b"), ("x/a", "via y/a"), ("via x/a", "y/a")] {
            cluster.passes(&graph, &format!("{client} > {server} {number}/{protocol}"));
        }
    }

    #[test]
    fn objects_of_any_shape_are_read_or_refused(
        key in select(vec!["podSelector", "policyTypes", "ingress", "egress"]),
        value in select(vec![json!(null), json!(7), json!([7]), json!("x"), json!([{}]), json!({"from": 1}), json!([[]]), json!([{"from": [{"ipBlock": {}}]}])]),
    ) {
        let _ = cluster::try_compile(GraphKind::NetworkPolicy, vec![cluster::object(None, "p", &json!({key: value}))]);
    }
}
