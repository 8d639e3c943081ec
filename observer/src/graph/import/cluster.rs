//! A small cluster for tables of flows: namespaces x, y and z with pods a, b and c each, as Kubernetes' own tests of
//! network plugins have it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use crate::graph::{Declarations, Graph, GraphKind, HttpFacts, NamespaceLabels, Query};
use crate::model::{
    Declaration, DeclarationStatus, EncryptionStatus, Identity, Label, Pod, PodIps, Port, Template, Transport,
};

pub type Labels = BTreeMap<String, String>;

/// Names of namespaces and pods are letters: their places in the alphabet are in the pods' addresses.
pub const NAMESPACES: [&str; 3] = ["x", "y", "z"];
pub const PODS: [&str; 3] = ["a", "b", "c"];

#[derive(Debug)]
pub struct Cluster {
    namespaces: BTreeMap<String, Vec<Label>>,
    pods: BTreeMap<String, Labels>,
}

impl NamespaceLabels for Cluster {
    fn labels(&self, namespace: &str) -> Option<&[Label]> {
        self.namespaces.get(namespace).map(Vec::as_slice)
    }
}

impl Cluster {
    pub fn new() -> Self {
        let label = |key: &str, value: &str| (Arc::from(key), Arc::from(value));
        let labels = |name: &str| vec![label("ns", name), label("kubernetes.io/metadata.name", name)];
        let namespaces = NAMESPACES.into_iter().map(|name| (name.to_owned(), labels(name))).collect();
        Self { namespaces, pods: BTreeMap::new() }
    }

    pub fn label_namespace(&mut self, name: &str, labels: &Labels) {
        let known = self.namespaces.get_mut(name).expect("the namespace is one of the cluster");
        known.extend(labels.iter().map(|(key, value)| (key.as_str().into(), value.as_str().into())));
    }

    pub fn label_pod(&mut self, pod: &str, labels: Labels) {
        self.pods.entry(pod.to_owned()).or_default().extend(labels);
    }

    /// `x/a`, `host x/a` (uses its node's network), `via x/a` (known by its Service alone), `node n-x`, `external`,
    /// `unknown`; labels may follow (`x/a+role=web`), and an address (`external@192.0.2.1`).
    fn end(&self, text: &str) -> (Identity, IpAddr) {
        let (rest, ip) = text.split_once('@').map_or((text, None), |(rest, ip)| (rest, Some(ip)));
        let mut parts = rest.split('+');
        let who = parts.next().unwrap_or_default();
        let own: Labels = parts
            .map(|label| label.split_once('=').expect("a label is key=value"))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        let (identity, default) = match who.split_once(' ') {
            None if who == "external" => (Identity::External, "192.0.2.1".to_owned()),
            None if who == "unknown" => (Identity::Unknown("no-pod-at-address"), "10.9.9.9".to_owned()),
            None => self.pod(who, own, false),
            Some(("host", pod)) => self.pod(pod, own, true),
            Some(("node", name)) => (Identity::Node(name.into()), "172.16.0.1".to_owned()),
            Some(("via", account)) => {
                let (namespace, name) = account.split_once('/').expect("namespace/name");
                let namespace = namespace.into();
                (Identity::ServiceAccount { namespace, name: name.into() }, "10.96.0.1".to_owned())
            }
            Some(_) => panic!("{text} is nobody"),
        };
        (identity, ip.map_or(default, str::to_owned).parse().expect("an address"))
    }

    fn pod(&self, who: &str, own: Labels, host_network: bool) -> (Identity, String) {
        let (namespace, name) = who.split_once('/').expect("namespace/pod");
        let place = |name: &str, first: u8| {
            name.bytes().next().map_or(0, |letter| letter.wrapping_sub(first).wrapping_add(1))
        };
        let ip = match host_network {
            true => "172.16.0.1".to_owned(),
            false => format!("10.0.{}.{}", place(namespace, b'x'), place(name, b'a')),
        };
        let mut labels: Labels = self.pods.get(who).cloned().unwrap_or_default();
        labels.insert("pod".into(), name.into());
        labels.extend(own);
        let port = |number| Port { name: Some(format!("serve-{number}-tcp").into()), number };
        let template = Template {
            namespace: namespace.into(),
            service_account: name.into(),
            labels: labels.iter().map(|(key, value)| (key.as_str().into(), value.as_str().into())).collect(),
            ports: [port(80), port(81)].into(),
            host_network,
            ..Template::default()
        };
        let mut ips = PodIps::default();
        ips.insert(ip.parse().expect("an address"));
        let pod = Pod {
            uid: who.into(),
            name: name.into(),
            node: Some(format!("n-{namespace}").into()),
            ips,
            own_labels: None,
            template: Arc::new(template),
        };
        (Identity::Pod(Arc::new(pod)), ip)
    }

    /// `client > server 80/tcp GET /path`.
    pub fn declaration(&self, graph: &Graph, flow: &str) -> Declaration {
        let (client, rest) = flow.split_once(" > ").expect("client > server");
        let slash = rest.rfind("/tcp").or_else(|| rest.rfind("/udp")).expect("a port and a protocol");
        let (server, port) = rest[..slash].rsplit_once(' ').expect("server port");
        let request = rest[slash + 4..].trim().split_once(' ');
        let (client, client_ip) = self.end(client);
        let (server, server_ip) = self.end(server);
        let transport = if rest[slash..].starts_with("/tcp") { Transport::Tcp } else { Transport::Udp };
        let query = Query {
            client: &client,
            client_ip,
            server: &server,
            server_ip,
            port: port.parse().expect("a port"),
            transport,
            encryption: EncryptionStatus::Plaintext,
            http: request.map(|(method, path)| HttpFacts { method, path: (path != "?").then_some(path) }),
            authentication: None,
            namespaces: self,
        };
        graph.evaluate(&query).declaration
    }

    /// `status namespace/name clause (reason)`, without what is absent.
    pub fn verdict(&self, graph: &Graph, flow: &str) -> String {
        let declaration = self.declaration(graph, flow);
        let source = declaration.source.as_deref().and_then(|source| source.split_once(' '));
        let mut text = declaration.status.as_str().to_owned();
        for part in [source.map(|(_, name)| name), declaration.clause.as_deref()].into_iter().flatten() {
            text += " ";
            text += part;
        }
        if let Some(reason) = declaration.reason {
            text += &format!(" ({reason})");
        }
        text
    }

    /// Whether policies let it through: `unsure` if that cannot be told.
    pub fn passes(&self, graph: &Graph, flow: &str) -> &'static str {
        match self.declaration(graph, flow).status {
            DeclarationStatus::Allowed | DeclarationStatus::Ungoverned => "yes",
            DeclarationStatus::Unexpected => "no",
            DeclarationStatus::Unevaluable => "unsure",
        }
    }
}

/// An object of namespace x, unless it says otherwise.
pub fn object(namespace: Option<&str>, name: &str, spec: &Value) -> Value {
    serde_json::json!({"metadata": {"namespace": namespace.unwrap_or("x"), "name": name}, "spec": spec})
}

pub fn try_compile(kind: GraphKind, objects: Vec<Value>) -> Result<Graph, String> {
    let mut declarations = Declarations::default();
    for object in objects {
        declarations
            .apply(kind, PathBuf::from("policies.yaml"), "", object)
            .map_err(|error| error.to_string())?;
    }
    Ok(declarations.compile().map_err(|error| error.to_string())?.0)
}

pub fn compile(kind: GraphKind, objects: Vec<Value>) -> Graph {
    try_compile(kind, objects).expect("the objects are good")
}
