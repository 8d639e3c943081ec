//! Objects as the API server writes them go in, rows come out.

mod bounds;
mod powers;
mod rows;
mod unused;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{AccountFacts, Facts, Gaps, Rights, Seen, TokenSeen, survey};
use crate::identity::Object;
use crate::model::{Pod, PostureKind, PostureRow, Template, Timestamp, TokenMount, Uid, Workload};

const RBAC: &str = "rbac.authorization.k8s.io/v1";
const UNUSED_AFTER: Duration = Duration::from_secs(600);

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(1_000_000 + seconds)
}

fn object(kind: &str, mut value: Value) -> Object {
    let namespaced = matches!(kind, "Role" | "RoleBinding");
    if namespaced && value["metadata"]["namespace"].is_null() {
        value["metadata"]["namespace"] = "shop".into();
    }
    if value["metadata"]["name"].is_null() {
        value["metadata"]["name"] = "it".into();
    }
    Object::from_value(RBAC, kind, value).unwrap().unwrap()
}

fn subject(namespace: &str, name: &str) -> Value {
    json!({"kind": "ServiceAccount", "namespace": namespace, "name": name})
}

/// All that rows are made of.
struct Scene {
    pods: Vec<Arc<Pod>>,
    accounts: BTreeMap<(Arc<str>, Arc<str>), AccountFacts>,
    rights: Rights,
    seen: Seen,
    gaps: Gaps,
    now: Timestamp,
}

impl Scene {
    fn new() -> Self {
        Self {
            pods: Vec::new(),
            accounts: BTreeMap::new(),
            rights: Rights::default(),
            seen: Seen::default(),
            gaps: Gaps::default(),
            now: at(0),
        }
    }

    fn pod(&mut self, workload: &str, account: &str, token: TokenMount) -> Arc<Pod> {
        let (kind, name) = workload.split_once('/').unwrap();
        let (namespace, service_account) = account.split_once('/').unwrap();
        let number = self.pods.len();
        let workload = (kind != "Pod").then(|| Workload { kind: kind.into(), name: name.into() });
        let template = Template {
            namespace: namespace.into(),
            service_account: service_account.into(),
            workload,
            token,
            ..Template::default()
        };
        let pod = Arc::new(Pod {
            uid: Uid::of(&format!("{number:08}-0000-4000-8000-000000000000")),
            name: name.into(),
            node: Some("n1".into()),
            template: Arc::new(template),
            ..Pod::default()
        });
        self.pods.push(pod.clone());
        pod
    }

    fn account(&mut self, account: &str, automount: Option<bool>, secrets: u16) {
        let (namespace, name) = account.split_once('/').unwrap();
        self.accounts.insert((namespace.into(), name.into()), AccountFacts { automount, secrets });
    }

    fn rights(&mut self, kind: &str, value: Value) {
        self.rights.apply(&object(kind, value)).unwrap();
    }

    fn leak(&mut self, account: &str) {
        let seen = TokenSeen { legacy: false, verified: true, for_api_server: true, in_cleartext: true };
        self.seen.token(&account.into(), seen, at(0));
    }

    /// The minute's look at the pods of this node.
    fn look(&mut self) {
        self.seen.on_this_node(self.pods.iter().map(|pod| pod.uid), self.now);
    }

    fn rows(&self, kind: PostureKind) -> Vec<PostureRow> {
        let facts = Facts {
            pods: self.pods.clone(),
            accounts: self.accounts.clone(),
            node: "n1".into(),
            rights: &self.rights,
            seen: &self.seen,
            gaps: self.gaps,
            unused_after: UNUSED_AFTER,
            now: self.now,
        };
        survey(&facts).into_iter().filter(|row| row.kind == kind).collect()
    }
}
